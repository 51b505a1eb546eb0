"""A report as Markdown; what names hold is shown as it is, not obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from observer.ablation.report.document import Block, Document, Figure, Items, Table
from observer.refusal import printable

_MARKS = re.compile(r"([\\`*\[\]<>|~$#&]|(?<![^\W_])_|_(?![^\W_]))")
"""Characters that may begin markup; an underscore between letters does not."""
LONGEST = 1000
"""The most characters of a cell or sentence."""


def escaped(text: str) -> str:
    r"""Return a text on one line of which Markdown makes nothing else.

    >>> print(escaped("a|b *c* observe_r1 _d_ <e>"))
    a\|b \*c\* observe_r1 \_d\_ \<e\>
    """
    return _MARKS.sub(r"\\\1", printable(text, LONGEST))


def markdown(document: Document) -> str:
    """Return a report as Markdown."""
    lines = [f"# {escaped(document.title)}", ""]
    for section in document.sections:
        lines += [f"## {escaped(section.heading)}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, str):
        yield escaped(block)
    elif isinstance(block, Figure):
        yield f"![{escaped(block.caption)}]({block.file})"
    elif isinstance(block, Items):
        for name, sentence in block.lines:
            yield f"- **{escaped(name)}**: {escaped(sentence)}" if name else f"- {escaped(sentence)}"
    elif isinstance(block, Table):
        yield _row(block.columns)
        yield "|" + "|".join([" --- ", *(" ---: " for _ in block.columns[1:])]) + "|"
        for row in block.rows:
            yield _row(row)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
