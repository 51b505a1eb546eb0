"""An append-only log of JSON lines that a killed and resumed run can go on with.

Each record names its step, so that a resumed run can cut the steps after its checkpoint. The content of the
records, and what to do when a disk is full, is the caller's business.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from observer.run.files import remove_unfinished, temporary_name
from observer.run.waiting import waiting


class JsonlLog:
    """A file of one JSON record per line, in UTF-8; a write that fails leaves no part of a line."""

    def __init__(self, path: str | Path) -> None:
        """Name the file; it is made by the first call that writes.

        Args:
            path: a file, or a link to one.
        """
        self._path = Path(path).resolve()  # replacing a link would leave its target as it was
        self._file: FileIO | None = None

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records and hand them to the operating system, all or none.

        Args:
            records: what ``json`` can write, each with its ``step``, an integer; NaN and infinities as
                Python's ``json`` writes them.

        Raises:
            OSError: they could not be written, the disk is full for example; the log is as it was.
        """
        data = memoryview(b"".join(_line(record) for record in records))
        with waiting("a file is written", lambda: str(self._path)):
            file = self._open()
            whole = file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                if self._path.is_file():  # a device has no end to cut back to
                    file.truncate(whole)
                raise

    def sync(self) -> None:
        """Flush to the disk: a power cut then loses nothing.

        Raises:
            OSError: the disk fails.
        """
        if self._file is not None and self._path.is_file():
            with waiting("a file is written", lambda: str(self._path)):
                os.fsync(self._file.fileno())

    def keep(self, stays: Callable[[dict[str, Any]], bool]) -> int:
        """Cut lines, and those that are no whole record.

        The lines to keep are copied, one at a time, to a file beside it that then takes its place: a kill at
        any moment leaves the old log or the new one.

        Args:
            stays: whether a record stays; each has its ``step``, an integer.

        Returns:
            How many lines were cut. Where there was no file, there is an empty one now.

        Raises:
            OSError: the copy could not be written; the log is as it was.
        """
        self.close()
        cut = 0
        if self._path.is_file():
            remove_unfinished(self._path.parent, self._path.name)
            beside = temporary_name(self._path)
            try:
                with self._path.open("rb") as lines, beside.open("wb") as kept:
                    for line in lines:
                        if (record := _record(line)) is not None and stays(record):
                            kept.write(line)
                        else:
                            cut += 1
                    kept.flush()
                    os.fsync(kept.fileno())
                beside.replace(self._path)
            finally:
                beside.unlink(missing_ok=True)
        self._open()
        return cut

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer would keep what did not fit on a full disk and write it later, in part.
            self._file = self._path.open("ab", buffering=0)
        return self._file


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False)
    # Half of a surrogate pair is no UTF-8. With a backslash it is the escape that JSON has for it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, None where it is no whole one with a step."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None
