"""Reads a source of problems: the part that all formats of files share.

A format yields records with their places and turns one into turns and pictures. This module has the options,
checks the pictures and handles bad rows. Every row that is left out is named.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import pyarrow as pa

from observer.data import fields
from observer.data.answers import answer_kind
from observer.data.checks.file_cache import Checked, Entry, checked_once, stamp
from observer.data.checks.spool import Spool
from observer.data.estimates import Estimate, read_estimates
from observer.data.formats.bad_rows import BadRows, OnBadRow, Place
from observer.data.formats.seen import IdsSeen, PicturesSeen
from observer.data.images import PictureLimits, file_picture
from observer.data.misnamed import refuse_misspelt, refuse_unread_pictures
from observer.data.rows import RowFormat
from observer.data.table import FileRows, record_batch
from observer.refusal import shown
from observer.types import Picture, Problem, RefusedError, Turn
from observer.verifier.verify import KINDS

CheckImages = Literal["decode", "header"]

BATCH_ROWS = 4096
"""Rows that are stored, and whose pictures are checked, at a time."""


@dataclass(frozen=True)
class RowFile(RowFormat):
    """The options and the reading that all formats of files share.

    Args:
        path: the file.
        images: the data folder that all pictures have to lie in; default: the folder of the file.
        on_bad_row: ``refuse`` the file, naming the bad rows, or ``skip`` them, counted and named.
        max_image_pixels: height times width that a picture may claim, 1 .. 178,956,970.
        check_images: ``decode`` every distinct picture once at the start, or read its ``header`` only.
        difficulty_from: a file of estimates, as ``observer curriculum estimates`` writes it. Its difficulties
            (and complexities) replace those of the rows, by id; each of its ids must be a row's.
        keep_checked: cache the checked rows, so that they open in seconds while nothing has changed: no byte
            of the file, no picture, no option, no line of this package.
    """

    path: str
    images: str | None = None
    on_bad_row: OnBadRow = "refuse"
    max_image_pixels: int = PictureLimits.max_pixels
    check_images: CheckImages = "decode"
    difficulty_from: str | None = None
    keep_checked: bool = True

    own_fields: ClassVar[frozenset[str]]
    """Names of the fields that ``chat`` reads."""
    pictures_in: ClassVar[str] = "a field that is read"
    """Where a row names its pictures, for the message that refuses one elsewhere."""

    any_gold: ClassVar[bool] = False
    """Whether rows are kept whose gold answer no rule can check; see ``read_any_gold``."""

    def __post_init__(self) -> None:
        if not self.path:
            raise RefusedError("path is empty; name a file of rows")
        if self.on_bad_row not in get_args(OnBadRow):
            raise RefusedError(f"on_bad_row is {self.on_bad_row!r}; set it to one of {get_args(OnBadRow)}")
        if self.check_images not in get_args(CheckImages):
            raise RefusedError(
                f"check_images is {self.check_images!r}; set it to one of {get_args(CheckImages)}"
            )
        PictureLimits(self.max_image_pixels)
        for name in ("path", "images", "difficulty_from"):
            if "\0" in (path := getattr(self, name) or ""):
                raise RefusedError(f"{name} is {shown(path)}; remove the zero byte, no path can hold one")

    rows_are: ClassVar[str] = "line"
    """What messages call the place of a row."""

    @property
    def files(self) -> Sequence[str]:
        """The files that rows are in, in the order in which they are read."""
        return (self.path,)

    @abstractmethod
    def records(self) -> Iterator[tuple[Place, object]]:
        """Yield each row's place and what is there: an object, or the refusal of what cannot be read.

        Raises:
            RefusedError: nothing more of the source can be read.
        """

    def translated(self, record: object) -> object:
        """Return a row under the names of fields that this format reads.

        Raises:
            RefusedError: the row lacks them.
        """
        return record

    @abstractmethod
    def chat(self, record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return a row's turns and the names of the pictures that their marks stand for, in order.

        Raises:
            RefusedError: the row does not hold them as it should.
        """

    @cached_property
    def root(self) -> str:
        """The data folder of the pictures, as an absolute path."""
        return str(Path(self.images or Path(self.path).parent).absolute())

    @cached_property
    def limits(self) -> PictureLimits:
        """What a picture may be."""
        return PictureLimits(self.max_image_pixels)

    def read(self) -> FileRows:
        """Read and check the file, first every row, then every distinct picture; or open the cached rows.

        Raises:
            RefusedError: the file cannot be read, holds no good row, or holds a bad one that is not skipped.
        """
        return self._rows(checked_once(self._entry(), self._check) if self.keep_checked else self._check())

    def examined(self, bad: BadRows) -> FileRows:
        """Read and check all of the source, to its last row; no cache is asked.

        Args:
            bad: takes the bad rows, all of which are left out, and is told how far the reading is.

        Raises:
            RefusedError: the source cannot be read, or ``bad`` refuses it.
        """
        return self._rows(self._good(bad))

    def _rows(self, checked: Checked) -> FileRows:
        pa.default_memory_pool().release_unused()  # memory of the check
        return FileRows(
            checked.batches,
            self.path,
            self.root,
            self.limits,
            checked.skipped,
            checked.identity,
            self.files,
        )

    def read_any_gold(self) -> FileRows:
        """Read the file; with ``on_bad_row: skip`` rows are kept whose gold answer no rule can check."""
        if self.on_bad_row == "refuse":
            return self.read()
        form = copy.copy(self)
        form.__dict__["any_gold"] = True
        return form.read()

    def _entry(self) -> Entry:
        options = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        own = type(self)
        name = {"class": f"{own.__module__}.{own.__qualname__}", "options": options, "root": self.root}
        if self.any_gold:
            name["any_gold"] = "yes"
        files = [*self.files_read, *([self.difficulty_from] if self.difficulty_from else [])]
        classes = [cls for cls in own.__mro__ if cls is not object]
        return Entry({**name, "file": str(Path(self.path).absolute())}, classes, files, self.root)

    @property
    def files_read(self) -> Sequence[str]:
        """The files that hold the rows: while their bytes are the same, so are the rows."""
        return self.files

    def _check(self) -> Checked:
        bad = BadRows(self.path, self.files, self.on_bad_row)
        checked = self._good(bad)
        if not any(len(batch) for batch in checked.batches):
            raise RefusedError(f"{self._named} holds no good row{bad.listed()}")
        return checked

    def _good(self, bad: BadRows) -> Checked:
        """Return the good rows, of which there may be none."""
        ids = IdsSeen()
        problems, spool = self._problems(bad, ids), Spool()
        while chunk := list(islice(problems, BATCH_ROWS)):
            spool.add(record_batch(chunk))
        batches = spool.batches()
        taken = ids.taken(batches)
        for row, first in taken.items():
            where = f"{self.rows_are} {first.line}"
            if len(self.files) > 1:
                where += f" of {Path(self.files[first.file]).name}"
            bad.add(*ids.of(row, batches), f"its id is taken by {where}; give each row its own")
        bad.settle()
        pictures = PicturesSeen(batches, self.root, self.limits, self.check_images == "decode")
        stamped = stamp(pictures.names, self.root)  # before they are opened: later changes are noticed
        batches = pictures.with_good_ones(taken, bad)
        bad.settle()
        return Checked(batches, pictures.names, stamped, bad.found)

    @property
    def _named(self) -> str:
        return str(Path(self.path).absolute())

    def problem(self, record: object, default_id: str = "row") -> Problem:
        """Make a problem of one JSON object. The caller sets its ``row`` and ``source``.

        Raises:
            RefusedError: the object is no row of this format; the message names the field and its value.
        """
        if not isinstance(record, dict):
            raise RefusedError(f"is {shown(record)}; write a JSON object")
        name = fields.identity(record, default_id)
        answer = fields.gold(record)
        options = fields.strings(record, "options")
        difficulty = fields.number(record, "difficulty", Problem.difficulty, high=1)
        turns, pictures = self._chat(record)
        for turn in turns:
            fields.refuse_special_tokens(turn.text)
        return Problem(
            id=name,
            row=0,
            turns=turns,
            answer=answer,
            kind=self._kind(record, answer, options),
            pictures=tuple(self._picture(picture) for picture in pictures),
            options=options,
            difficulty=difficulty,
            complexity=fields.number(record, "complexity", Problem.complexity),
            level=fields.ladder_level(record, difficulty),
            metadata=fields.leftovers(record, self._known),
        )

    def _kind(self, record: Mapping[str, Any], answer: str, options: tuple[str, ...]) -> str:
        try:
            return answer_kind(record, answer, options)
        except RefusedError:
            if self.any_gold and (kind := record.get("kind", "")) in ("", *KINDS):
                return str(kind)
            raise

    @cached_property
    def _known(self) -> frozenset[str]:
        return fields.COMMON_FIELDS | self.own_fields

    def _chat(self, record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return turns and pictures, unless the row has fields of another name than the one that is read."""
        refuse_misspelt(record, self._known)
        try:
            turns, pictures = self.chat(record)
        except RefusedError:
            refuse_unread_pictures(record, self._known, (), self.pictures_in)  # the cause, if there are some
            raise
        refuse_unread_pictures(record, self._known, pictures, self.pictures_in)
        return turns, pictures

    def _picture(self, name: str) -> Picture:
        return file_picture(name, self.root, self.limits)

    def _problems(self, bad: BadRows, ids: IdsSeen) -> Iterator[tuple[Place, Problem]]:
        """Yield the good rows with their place; collect the others as bad."""
        estimates = read_estimates(self.difficulty_from) if self.difficulty_from else {}
        known: set[str] = set()
        names = [Path(file).name for file in self.files]
        for place, record in self.records():
            bad.seen(1)
            default_id = name = f"{names[place.file]}:{place.line}"
            try:
                if isinstance(record, RefusedError):
                    raise record
                row = self.translated(record)
                if isinstance(row, dict):
                    name = fields.identity(row, default_id)
                    if name in estimates:
                        known.add(name)
                        row = {**row, **estimates[name].fields}
                problem = self.problem(row, default_id)
            except RefusedError as error:
                bad.add(place, name, str(error))
            else:
                ids.add(name)
                yield place, problem
        self._refuse_strangers(estimates, known)

    def _refuse_strangers(self, estimates: Mapping[str, Estimate], known: set[str]) -> None:
        for name in estimates:
            if name not in known:
                raise RefusedError(
                    f"{self.difficulty_from}:{estimates[name].line}: id {shown(name)} is no row of "
                    f"{self.path} ({len(estimates) - len(known)} of {len(estimates)} ids are not); set "
                    "difficulty_from to estimates of these rows, or remove the line"
                )


def _plain(value: Any) -> Any:
    """Return an option as builtins, where it is a dataclass of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
