"""Reads a JSONL file of problems: the part that every JSONL format shares.

A format turns one JSON object into turns and pictures (``chat``). This module reads the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from observer.data import fields
from observer.data.formats.bad_rows import Place
from observer.data.formats.row_file import RowFile
from observer.refusal import shown
from observer.types import RefusedError


@dataclass(frozen=True)
class JsonLines(RowFile):
    """The reading that all JSONL formats share; its options are those of ``RowFile``."""

    def records(self) -> Iterator[tuple[Place, object]]:
        """Yield each line that is not blank, parsed, or its refusal.

        Raises:
            RefusedError: the file cannot be read.
        """
        return parsed_lines(self.path)


def parsed_lines(path: str, file: int = 0) -> Iterator[tuple[Place, object]]:
    """Yield the place of each line of a JSONL file that is not blank, and its value or its refusal.

    Args:
        path: of the file.
        file: its number, for the places.

    Raises:
        RefusedError: the file cannot be read.
    """
    for line, raw in _lines(path):
        try:
            record = fields.parse_json(decoded(raw))
        except RefusedError as error:
            record = error
        yield Place(file, line), record


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
