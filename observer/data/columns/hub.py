"""Reads a data set of the Hugging Face hub with ``datasets``, an extra that is imported when it is needed.

No code of the data set runs (``datasets`` 4 has no scripts), and its pictures are taken as they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from observer.refusal import printable, shown
from observer.types import RefusedError

PREFIX = "hub:"
ROWS = 64
"""Rows that are made at a time."""
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class HubRows:
    """The rows of one split.

    Args:
        path: ``hub:<owner>/<name>``.
        subset: its configuration; None for the only one.
        split: such as ``train``.
        revision: a branch, tag or commit.
    """

    def __init__(self, path: str, subset: str | None, split: str, revision: str | None) -> None:
        self.name = path.removeprefix(PREFIX)
        if not _NAME.fullmatch(self.name):
            raise RefusedError(f"path is {shown(path)}; write hub:<owner>/<name>")
        self._subset, self._split, self._revision = subset, split, revision

    @property
    def place(self) -> str:
        """What messages call the split, and its rows' ids begin with."""
        return f"{PREFIX}{self.name}/{self._split}"

    @cached_property
    def _rows(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise RefusedError(
                f"path is {PREFIX}{self.name}, and the package `datasets` is not installed; install the "
                "extra `hub`, or download the data set's parquet files"
            ) from error
        try:
            return datasets.load_dataset(self.name, self._subset, split=self._split, revision=self._revision)
        except Exception as error:  # of the network, of the hub, of a file: all kinds
            raise RefusedError(
                f"{self.place} (subset {self._subset}, revision {self._revision}) "
                f"cannot be loaded: {printable(error)}"
            ) from error

    @property
    def files(self) -> list[str]:
        """The files in the cache of ``datasets`` that hold the rows."""
        return [str(file["filename"]) for file in self._rows.cache_files]

    def records(self, ignore: Collection[str]) -> Iterator[object]:
        """Yield the rows, without some columns; pictures as their bytes and path."""
        rows = self._rows.select_columns([name for name in self._rows.column_names if name not in ignore])
        for table in rows.with_format("arrow").iter(ROWS):
            yield from table.to_pylist()
