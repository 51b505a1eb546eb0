"""A report on the terminal; names are drawn as they are, never as markup."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from observer.ablation.report.document import Block, Document, Items, Table
from observer.ablation.report.markdown import LONGEST
from observer.refusal import printable


def show(document: Document, console: Console) -> None:
    """Print the sections of a report that are meant for the terminal."""
    console.print(_text(document.title, "bold"))
    for section in document.sections:
        drawn = [one for block in section.blocks for one in _drawn(block)] if section.terminal else []
        if drawn:
            console.print()
            console.print(_text(section.heading, "bold"))
            for one in drawn:
                console.print(one)


def _drawn(block: Block) -> Iterator[RenderableType]:
    if isinstance(block, str):
        yield _text(block, "dim")
    elif isinstance(block, Items):
        for name, sentence in block.lines:
            line = _text(f"{name}: ", "bold") if name else Text()
            yield line.append_text(_text(sentence))
    elif isinstance(block, Table) and block.rows:
        table = Drawn(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        for place, column in enumerate(block.columns):
            table.add_column(_text(column), justify="right" if place else "left", overflow="fold")
        for row in block.rows:
            table.add_row(*map(_text, row))
        yield table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text, LONGEST), style)
