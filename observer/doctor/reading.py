"""Opens the rows of a split as a fit does, and notes every row that it would refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from observer.data.formats.bad_rows import BadRows, Place
from observer.data.formats.row_file import RowFile
from observer.data.rows import RowFormat, Rows, Skipped
from observer.data.validation_part import OneSide
from observer.doctor.told import Told


class Noted(BadRows):
    """Passes bad rows on as they are found.

    Args:
        source: the file or files that are read.
        told: how far it is.
        take: gets each bad row, and whether its picture is what is bad.
    """

    def __init__(self, source: RowFile, told: Told, take: Callable[[Skipped, bool], None]) -> None:
        super().__init__(source.path, source.files, "skip")
        self._told, self._take = told, take
        self._pictures = False

    def seen(self, count: int, pictures: bool = False) -> None:
        """Show how far the reading is."""
        self._pictures = pictures
        self._told.advance(count, "decoding pictures" if pictures else None)

    def add(self, place: Place, name: str, reason: str) -> None:
        """Pass a bad row on."""
        row = Skipped(self._files[place.file], place.line, name, reason)
        self._take(row, self._pictures)


def row_format(source: RowFormat | OneSide) -> RowFormat:
    """Return what reads the rows of a split: of one side of a split of rows, the format of all of them."""
    return source.split.rows if isinstance(source, OneSide) else source


def read(source: RowFormat, told: Told, take: Callable[[Skipped, bool], None]) -> tuple[Rows, bool]:
    """Read a source and pass on each bad row.

    Args:
        source: the rows' format.
        told: how far it is.
        take: gets each bad row, and whether its picture is what is bad.

    Returns:
        The good rows, and whether their pictures were decoded.

    Raises:
        RefusedError: the source cannot be read.
    """
    if isinstance(source, RowFile):
        return source.examined(Noted(source, told, take)), source.check_images == "decode"
    rows = source.read()
    for row in rows.skipped:
        take(row, False)
    return rows, False


def named(source: RowFormat) -> str:
    """Return what a source is called: its file, or its format."""
    return str(getattr(source, "path", type(source).__name__))


def goes_on(source: RowFormat) -> bool:
    """Return whether a fit goes on without the bad rows of a source."""
    return getattr(source, "on_bad_row", "refuse") == "skip"


def vouched_for(rows: Rows) -> NDArray[np.int64]:
    """Return the numbers of rows that a fit does not check one by one, as others stand for them."""
    return np.setdiff1d(np.arange(len(rows)), np.fromiter(rows.checked_rows(), np.int64))
