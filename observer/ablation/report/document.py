"""A report as data: sections of paragraphs, tables and figures; the terminal and Markdown draw the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ABSENT = "-"
"""A cell that has no number."""


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A picture in the folder of the report."""

    file: str
    caption: str


def figure(files: Mapping[str, str], name: str, caption: str) -> list[Figure]:
    """Return a figure, or nothing if it was not drawn.

    Args:
        files: name -> file, of those that were.
        name: of the figure.
        caption: says what it shows.
    """
    return [Figure(files[name], caption)] if name in files else []


@dataclass(frozen=True)
class Items:
    """Sentences that stand one below the other; each may be led by a name in bold."""

    lines: tuple[tuple[str, str], ...]
    """(name or "", sentence)."""


Block = str | Table | Figure | Items


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: Sequence[Block]
    terminal: bool = True
    """Whether the terminal shows it."""


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    sections: Sequence[Section] = field(default=())
