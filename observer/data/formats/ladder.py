"""The rows of a ladder that ``observer ladder build`` has written, checked against its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from observer.data.checks.cache import file_digest
from observer.data.checks.file_cache import Checked
from observer.data.columns.sources import records_of
from observer.data.fields import parse_json
from observer.data.formats.bad_rows import Place
from observer.data.formats.message import Message
from observer.data.table import FileRows
from observer.refusal import printable, shown
from observer.types import RefusedError

LADDER, COLUMNS, CONTROL, REVIEW = "ladder.jsonl", "ladder.parquet", "control.jsonl", "review.jsonl"
LEARNED, MANIFEST = "learned.parquet", "manifest.json"
"""Names of the files of a ladder."""
READ = ("message", "answer", "id", "kind", "options", "difficulty", "complexity", "level", "metadata")
"""Columns that rows are made of; the others are for people and for other programs."""
LEARNED_DIFFICULTY = "learned_difficulty"
_PICTURE = re.compile(r"pictures/[0-9a-f]{2}/([0-9a-f]{16})[0-9a-f]{16}\.png")


@dataclass(frozen=True)
class Ladder(Message):
    """A ladder of ``observer ladder build``: its rows in their order, with difficulty, level, slot, source.

    They are the rows that ``Message`` reads from ``ladder.jsonl``. This format also makes sure that they are
    what was built: files and pictures that were damaged or edited since are refused by name.

    Args:
        path: the folder of the ladder, or one of its files: ``ladder.parquet``, ``learned.parquet``,
            ``ladder.jsonl``, or ``control.jsonl`` for the equal-size random control.
        images: the data folder that all pictures have to lie in; default: the folder of the ladder.
        on_bad_row: ``refuse`` the file, naming the bad rows, or ``skip`` them, counted and named.
        max_image_pixels: height times width that a picture may claim, 1 .. 178,956,970.
        check_images: ``decode`` every distinct picture once at the start and compare what it shows with its
            name, or read its ``header`` only.
        difficulty_from: a file of estimates, as ``observer curriculum estimates`` writes it. Its difficulties
            (and complexities) replace those of the rows, by id; each of its ids must be a row's.
        keep_checked: cache the checked rows, so that they open in seconds while nothing has changed: no byte
            of the file, no picture, no option, no line of this package.
        learned: take the difficulties that a run has learned, of the rows that it has visited; needs
            ``observer ladder learned``.

    Example:
        >>> Ladder("runs/ladder").path, Ladder("runs/ladder", learned=True).file.name
        ('runs/ladder', 'learned.parquet')
    """

    learned: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learned and self.file.name != LEARNED:
            raise RefusedError(
                f"learned is true, and path is {shown(self.path)}, not {LEARNED}; name the folder"
            )

    @cached_property
    def file(self) -> Path:
        """The file that is read."""
        given = Path(self.path)
        if given.suffix in (".parquet", ".jsonl") and not given.is_dir():
            return given
        return given / (LEARNED if self.learned else COLUMNS)

    @cached_property
    def files(self) -> Sequence[str]:
        """The one file."""
        return (str(self.file),)

    @cached_property
    def root(self) -> str:
        """The data folder of the pictures, as an absolute path."""
        return str(Path(self.images or self.file.parent).absolute())

    def read(self) -> FileRows:
        """Compare the files with the manifest, and read and check the rows; see ``RowFile``.

        Raises:
            RefusedError: it is no ladder, or not as it was built; or as of any file of rows.
        """
        refuse_changed(self.file)
        return super().read()

    def records(self) -> Iterator[tuple[Place, object]]:
        """Yield each row's place and its record; see ``RowFile``."""
        name, ignore = str(self.file), set[str]()
        if self.file.suffix == ".parquet":
            wanted = {*READ, *([LEARNED_DIFFICULTY] if self.learned else [])}
            ignore = set(columns_of(self.file)) - wanted
        return records_of(name, 0, ignore)

    def translated(self, record: object) -> object:
        """Return a row of columns as the object that stands in ``ladder.jsonl``."""
        if self.file.suffix != ".parquet" or not isinstance(record, dict):
            return record
        row = {name: record[name] for name in READ if record.get(name) not in (None, [])}
        if (difficulty := record.get(LEARNED_DIFFICULTY)) is not None:
            row["difficulty"] = difficulty
        return row | {"metadata": parse_json(record["metadata"])}

    def _check(self) -> Checked:
        checked = super()._check()
        for batch in checked.batches:
            if not batch["pixels"].null_count:  # only headers were read where there is none
                _refuse_other_pictures(batch, self.root)
        return checked


def _refuse_other_pictures(batch: pa.RecordBatch, root: str) -> None:
    """Refuse a picture that does not show what its name says."""
    names, numbers = pc.list_flatten(batch["pictures"]), pc.list_flatten(batch["pixels"])
    for name, number in zip(names.to_pylist(), numbers.to_pylist(), strict=True):
        built = _PICTURE.fullmatch(name)
        if built and int(built[1], 16) != number:
            raise RefusedError(
                f"{printable(Path(root, name))} shows something else than when the ladder was built; bring "
                f"the picture back, or build the ladder again"
            )


def columns_of(file: Path) -> list[str]:
    """Return the names of the columns of a ladder's parquet file.

    Raises:
        RefusedError: it cannot be read, or is no ladder's.
    """
    try:
        names: list[str] = pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise RefusedError(f"{printable(file)} cannot be read as parquet: {printable(error)}") from error
    if "message" not in names:
        raise RefusedError(
            f"{printable(file)} has no column message; name a file of observer ladder build, or read it by "
            f"the format Columns"
        )
    return names


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a ladder.

    Raises:
        RefusedError: there is none, or it is none.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        unfinished = " (its build is not finished)" if (folder / "work").is_dir() else ""
        raise RefusedError(
            f"{printable(folder)} holds no ladder{unfinished}: there is no {MANIFEST}; name the folder of "
            f"observer ladder build"
        ) from error
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"{printable(path)} cannot be read ({printable(error)}); build the ladder again"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise RefusedError(f"{printable(path)} is no manifest of a ladder; build the ladder again")
    return found


def refuse_changed(file: Path) -> dict[str, Any]:
    """Refuse a ladder whose rows are not as they were built.

    The rows are in two files: an edit of one that is not read would be lost, so that both are compared.

    Args:
        file: that is to be read.

    Returns:
        The manifest.

    Raises:
        RefusedError: names the file and what to do.
    """
    folder = file.parent
    manifest = read_manifest(folder)
    known = manifest["files"]
    if file.name not in known:
        run = "observer ladder learned" if file.name == LEARNED else "observer ladder build"
        raise RefusedError(
            f"{printable(file)} is not in {MANIFEST}, or was made before the ladder was built anew; run {run}"
        )
    for name in dict.fromkeys((file.name, LADDER, COLUMNS)):
        path = folder / name
        if name != file.name and not path.is_file():
            continue
        try:
            same = file_digest(path) == known.get(name)
        except OSError as error:
            raise RefusedError(
                f"{printable(path)} cannot be read ({error.strerror}); build the ladder again"
            ) from error
        if not same:
            use = f", or train on {LADDER} as it is with Message" if name == LADDER else ""
            raise RefusedError(
                f"{printable(path)} is not the file that {MANIFEST} names: it was damaged or edited; build "
                f"the ladder again (finished chunks are not measured again){use}"
            )
    return manifest
