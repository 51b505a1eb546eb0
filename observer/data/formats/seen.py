"""What was seen while a source was read: its ids and its pictures, in a few bytes per row."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from observer.data.checks.spool import Spool
from observer.data.fingerprints import picture_number, with_pictures
from observer.data.formats.bad_rows import BadRows, Place
from observer.data.images import PictureLimits, file_picture, picture_mark
from observer.data.table import SCHEMA, numbered_pictures
from observer.types import RefusedError


class IdsSeen:
    """The ids of all good rows, as eight bytes each."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, name: str) -> None:
        """Add the id of the next row."""
        digest = blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
        self._hashes.append(int.from_bytes(digest, "little"))

    def taken(self, batches: Sequence[pa.RecordBatch]) -> dict[int, Place]:
        """Return row -> the place of the first row of the same id, of all rows but the first of an id.

        Args:
            batches: the rows, in the order in which their ids were added.
        """
        hashes_R = np.frombuffer(self._hashes, np.uint64)
        order_R = np.argsort(hashes_R, kind="stable")
        same_R = np.flatnonzero(hashes_R[order_R][1:] == hashes_R[order_R][:-1])
        found: dict[int, Place] = {}
        first: dict[str, int] = {}
        for row in sorted({*order_R[same_R].tolist(), *order_R[same_R + 1].tolist()}):
            name = self.of(row, batches)[1]
            if (other := first.setdefault(name, row)) != row:
                found[row] = self.of(other, batches)[0]
        return found

    def of(self, row: int, batches: Sequence[pa.RecordBatch]) -> tuple[Place, str]:
        """Return the place and the id of a row."""
        starts = [0, *accumulate(map(len, batches))]
        part = bisect_right(starts, row) - 1
        return place_and_id(batches[part], row - starts[part])


def place_and_id(batch: pa.RecordBatch, row: int) -> tuple[Place, str]:
    """Return the place and the id of a row of a batch."""
    return Place(batch["file"][row].as_py(), batch["line"][row].as_py()), batch["id"][row].as_py()


class Finding(NamedTuple):
    """What looking at a picture has found."""

    reason: str = ""
    """Why it is refused; empty if it is not."""
    mark: str = ""
    """Tells its file from one that replaces it."""
    content: str = ""
    """What a fingerprint takes for its content."""
    pixels: int | None = None
    """Its digest, if it was decoded."""


class PicturesSeen:
    """The pictures of all rows, of which each distinct one is looked at once, on threads.

    Args:
        batches: rows of the schema of ``observer.data.table``.
        root: the data folder of the pictures.
        limits: what a picture may be.
        decode: decode each; else read its header only.
    """

    def __init__(
        self, batches: Sequence[pa.RecordBatch], root: str, limits: PictureLimits, decode: bool
    ) -> None:
        self._batches, self._root, self._limits, self._decode = batches, root, limits, decode
        self.names, self._codes = numbered_pictures(batches)
        """The names of all distinct pictures, in the order in which they come."""
        self._reasons: dict[int, str] = {}
        width = 16 if decode else 64
        self._marks_U = np.zeros(len(self.names), f"S{width}")
        self._contents_U = np.zeros(0 if decode else len(self.names), f"S{width}")
        self._pixels_U = np.zeros(len(self.names) if decode else 0, np.uint64)

    def with_good_ones(self, without: Collection[int], bad: BadRows) -> list[pa.RecordBatch]:
        """Look at the pictures; leave out the rows of bad ones, and mark those of the others.

        The fingerprints of the others then hold what their pictures show.

        Args:
            without: numbers of rows to leave out in any case.
            bad: takes the rows whose pictures are refused.
        """
        kept, row, done = Spool(), 0, 0
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for batch, numbers in zip(self._batches, self._codes, strict=True):
                codes = numbers.to_pylist()
                known = max(codes, default=-1) + 1
                new = self.names.slice(done, known - done).to_pylist() if known > done else []
                for number, finding in enumerate(threads.map(self._looked_at, new), start=done):
                    self._note(number, finding)
                    bad.seen(1, pictures=True)
                done = max(done, known)
                kept.add(self._marked(batch, codes, row, without, bad))
                row += len(batch)
        return kept.batches()

    def _note(self, number: int, finding: Finding) -> None:
        if finding.reason:
            self._reasons[number] = finding.reason
            return
        self._marks_U[number] = finding.mark.encode()
        if finding.pixels is None:
            self._contents_U[number] = finding.content.encode()
        else:
            self._pixels_U[number] = finding.pixels

    def _marked(
        self, batch: pa.RecordBatch, codes: list[int], first: int, without: Collection[int], bad: BadRows
    ) -> pa.RecordBatch:
        lengths = pc.list_value_length(batch["pictures"]).to_pylist()
        ends = list(accumulate(lengths))
        good, prints = np.ones(len(batch), bool), batch["fingerprint"].to_pylist()
        marks_R, pixels_R = [], []
        contents_U = self._marks_U if self._decode else self._contents_U
        for row, (end, length) in enumerate(zip(ends, lengths, strict=True)):
            own = codes[end - length : end]
            if first + row in without:
                good[row] = False
            elif reason := next((self._reasons[code] for code in own if code in self._reasons), None):
                good[row] = False
                bad.add(*place_and_id(batch, row), reason)
            prints[row] = with_pictures(prints[row], [contents_U[code].decode() for code in own])
            marks_R.append([self._marks_U[code].decode() for code in own])
            pixels_R.append([int(self._pixels_U[code]) for code in own] if self._decode else None)
        for column, values in (("fingerprint", prints), ("marks", marks_R), ("pixels", pixels_R)):
            place, field = batch.schema.get_field_index(column), SCHEMA.field(column)
            batch = batch.set_column(place, field, pa.array(values, field.type))
        return batch.filter(pa.array(good))

    def _looked_at(self, name: str) -> Finding:
        try:
            mark = picture_mark(name, self._root, self._decode)
            picture = file_picture(name, self._root, self._limits, mark)
            if self._decode:
                return Finding("", mark, mark, picture_number(picture.load()))
            # Not the mark, which holds the file's time: a copy of the data folder has the same rows.
            return Finding("", mark, f"{picture.size()} {mark.split()[0]}")
        except RefusedError as error:
            return Finding(str(error))
