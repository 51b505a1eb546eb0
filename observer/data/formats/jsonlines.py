"""Reads a JSONL file of problems: the part that every JSONL format shares.

A format turns one JSON object into turns and pictures. This module has the options, reads the lines, checks
the pictures and handles bad rows. Every row that is left out is named.
"""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pyarrow as pa

from observer.data import fields
from observer.data.answers import answer_kind
from observer.data.checks.file_cache import Checked, Entry, checked_once, distinct_pictures, stamp
from observer.data.estimates import Estimate, read_estimates
from observer.data.fingerprints import with_pictures
from observer.data.images import PictureLimits, file_picture, picture_mark
from observer.data.misnamed import refuse_misspelt, refuse_unread_pictures
from observer.data.rows import RowFormat, Skipped
from observer.data.table import SCHEMA, FileRows, record_batch
from observer.refusal import shown
from observer.types import Picture, Problem, RefusedError, Turn

OnBadRow = Literal["refuse", "skip"]
CheckImages = Literal["decode", "header"]

NAMED_BAD_ROWS = 10
"""The most bad rows that one refusal names."""
BATCH_ROWS = 4096
"""Rows that are stored, and whose pictures are checked, at a time."""


@dataclass(frozen=True)
class JsonLines(RowFormat):
    """The options and the reading that all JSONL formats share.

    Args:
        path: the JSONL file, one JSON object per line, UTF-8; blank lines are skipped, but counted.
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

    def __post_init__(self) -> None:
        if not self.path:
            raise RefusedError("path is empty; name a JSONL file")
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
        checked = checked_once(self._entry(), self._check) if self.keep_checked else self._check()
        pa.default_memory_pool().release_unused()  # memory of the check
        return FileRows(checked.batches, self.path, self.root, self.limits, checked.skipped, checked.identity)

    def _entry(self) -> Entry:
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = type(self)
        name = {"class": f"{own.__module__}.{own.__qualname__}", "options": options, "root": self.root}
        files = [self.path, *([self.difficulty_from] if self.difficulty_from else [])]
        classes = [cls for cls in own.__mro__ if cls is not object]
        return Entry({**name, "file": str(Path(self.path).absolute())}, classes, files, self.root)

    def _check(self) -> Checked:
        bad = _BadRows(self.path, self.on_bad_row)
        problems = self._problems(bad)
        batches = []
        while chunk := list(islice(problems, BATCH_ROWS)):
            batches.append(record_batch(chunk))
        bad.settle()
        pictures = distinct_pictures(batches)
        stamped = stamp(pictures, self.root)  # before they are opened, so that later changes are noticed
        batches = self._with_good_pictures(batches, bad)
        bad.settle()
        if not any(len(batch) for batch in batches):
            raise RefusedError(f"{Path(self.path).absolute()} holds no good row{bad.listed()}")
        return Checked(batches, pictures, stamped, bad.found)

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
            kind=answer_kind(record, answer, options),
            pictures=tuple(self._picture(picture) for picture in pictures),
            options=options,
            difficulty=difficulty,
            complexity=fields.number(record, "complexity", Problem.complexity),
            level=fields.ladder_level(record, difficulty),
            metadata=fields.leftovers(record, self._known),
        )

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

    def _problems(self, bad: _BadRows) -> Iterator[tuple[int, Problem]]:
        """Yield the good rows with their line; collect the others as bad."""
        estimates = read_estimates(self.difficulty_from) if self.difficulty_from else {}
        seen: dict[str, int] = {}
        known: set[str] = set()
        file = Path(self.path).name
        for line, raw in _lines(self.path):
            default_id = name = f"{file}:{line}"
            try:
                record = fields.parse_json(decoded(raw))
                if isinstance(record, dict):
                    name = fields.identity(record, default_id)
                    if name in estimates:
                        known.add(name)
                        record = {**record, **estimates[name].fields}
                problem = self.problem(record, default_id)
                if (first := seen.setdefault(name, line)) != line:
                    raise RefusedError(f"its id is taken by line {first}; give each row its own")
            except RefusedError as error:
                bad.add(line, name, str(error))
            else:
                yield line, problem
        self._refuse_strangers(estimates, known)

    def _refuse_strangers(self, estimates: Mapping[str, Estimate], known: set[str]) -> None:
        for name in estimates:
            if name not in known:
                raise RefusedError(
                    f"{self.difficulty_from}:{estimates[name].line}: id {shown(name)} is no row of "
                    f"{self.path} ({len(estimates) - len(known)} of {len(estimates)} ids are not); set "
                    "difficulty_from to estimates of these rows, or remove the line"
                )

    def _with_good_pictures(self, batches: Sequence[pa.RecordBatch], bad: _BadRows) -> list[pa.RecordBatch]:
        """Check each distinct picture once, on threads; leave out the rows of bad ones, mark the others.

        The fingerprints of the others then hold what their pictures show.
        """
        reasons: dict[str, str | None] = {}
        marks: dict[str, str] = {}
        contents: dict[str, str] = {}
        kept = []
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for batch in batches:
                new = set(batch["pictures"].flatten().to_pylist()) - reasons.keys()
                for name, found in zip(new, threads.map(self._looked_at, new), strict=True):
                    reasons[name], marks[name], contents[name] = found
                good, prints = np.ones(len(batch), bool), batch["fingerprint"].to_pylist()
                shown_R = batch["pictures"].to_pylist()
                for row, names in enumerate(shown_R):
                    if reason := next(filter(None, map(reasons.get, names)), None):
                        good[row] = False
                        bad.add(batch["line"][row].as_py(), batch["id"][row].as_py(), reason)
                    prints[row] = with_pictures(prints[row], [contents[name] for name in names])
                marks_R = [[marks[name] for name in names] for names in shown_R]
                for column, values in (("fingerprint", prints), ("marks", marks_R)):
                    place, field = batch.schema.get_field_index(column), SCHEMA.field(column)
                    batch = batch.set_column(place, field, pa.array(values, field.type))
                kept.append(batch.filter(pa.array(good)))
        return kept

    def _looked_at(self, name: str) -> tuple[str | None, str, str]:
        """Return why a picture is refused, if it is; its mark; what a fingerprint takes for its content."""
        whole = self.check_images == "decode"
        try:
            mark = picture_mark(name, self.root, whole)
            picture = file_picture(name, self.root, self.limits, mark)
            if whole:
                picture.load()
                return None, mark, mark
            # Not the mark, which holds the file's time: a copy of the data folder has the same rows.
            return None, mark, f"{picture.size()} {mark.split()[0]}"
        except RefusedError as error:
            return str(error), "", ""


class _BadRows:
    """Collects bad rows and, unless they are to be skipped, refuses the file."""

    def __init__(self, path: str, on_bad_row: OnBadRow) -> None:
        self._path = path
        self._refuse = on_bad_row == "refuse"
        self._found: list[Skipped] = []

    @property
    def found(self) -> list[Skipped]:
        """The bad rows, in the order of the file."""
        return sorted(self._found, key=lambda row: row.line)

    def add(self, line: int, name: str, reason: str) -> None:
        """Add a bad row."""
        self._found.append(Skipped(self._path, line, name, reason))
        if len(self._found) == NAMED_BAD_ROWS:
            self.settle(" (reading stopped here, there may be more)")

    def settle(self, more: str = "") -> None:
        """Refuse the file if it has bad rows and they are not to be skipped."""
        if self._refuse and self._found:
            count = f"{len(self._found)} bad row{'s' if len(self._found) > 1 else ''}"
            raise RefusedError(
                f"{self._path} holds {count}{more}; mend them or set on_bad_row to skip{self.listed()}"
            )

    def listed(self) -> str:
        """Return the first bad rows, one per line."""
        return "".join(f"\n  {row}" for row in self.found[:NAMED_BAD_ROWS])


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) of the lines that are not blank."""
    try:
        with open(path, "rb") as file:
            for line, raw in enumerate(file, start=1):
                if raw := raw.strip():
                    yield line, raw
    except OSError as error:
        raise RefusedError(
            f"{Path(path).absolute()} cannot be read ({error.strerror}); set path to an existing JSONL file"
        ) from error


def decoded(raw: bytes) -> str:
    """Return the text of a line.

    Raises:
        RefusedError: it is no UTF-8. The caller adds file and line.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"is no UTF-8 at byte {error.start} of its line: {shown(raw[error.start :][:8])}; "
            "save the file as UTF-8"
        ) from error
