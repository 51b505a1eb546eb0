"""Blocks in a response that may keep no format. No answer is found and no format judged here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A block and its position."""

    start: int
    """Where its opening tag starts, in characters."""
    end: int
    """After its closing tag."""
    text: str
    """The text between the tags, without outer blanks."""


def find_blocks(text: str, names: Sequence[str]) -> dict[str, Block]:
    """Return the blocks that are not blank and whose two tags occur exactly once, the opening one first.

    Args:
        text: the response.
        names: tag names.

    >>> find_blocks("so <think>a</think> <answer></answer> <b>c</b> </b>", ("think", "answer", "b"))
    {'think': Block(start=3, end=19, text='a')}
    """
    blocks = {}
    for name in names:
        opening, closing = f"<{name}>", f"</{name}>"
        if text.count(opening) == text.count(closing) == 1:
            start, end = text.index(opening), text.index(closing)
            if piece := text[start + len(opening) : end].strip():  # none where the closing tag is first
                blocks[name] = Block(start, end + len(closing), piece)
    return blocks


def find_block(text: str, name: str) -> str | None:
    """Return the text of a block that occurs exactly once and is not blank; None when there is none.

    >>> find_block("<b> a dial </b><think>", "b"), find_block("<b></b>", "b")
    ('a dial', None)
    """
    block = find_blocks(text, (name,)).get(name)
    return None if block is None else block.text


def share_in_order(text: str, names: Sequence[str]) -> float:
    """Return the share of the named blocks that occur exactly once, not blank and in order.

    Where the order is broken, the longest run of blocks in order counts. Text around them changes nothing.

    Args:
        text: the response.
        names: tag names in their order.

    >>> share_in_order("<a>1</a> so <b>2</b>", ("a", "b", "c", "d"))
    0.5
    >>> share_in_order("<b>2</b><a>1</a>", ("a", "b")), share_in_order("<a>1</a><a>1</a>", ("a", "b"))
    (0.5, 0.0)
    """
    blocks = find_blocks(text, names)
    run: dict[str, int] = {}
    for name in (name for name in names if name in blocks):
        before = [run[other] for other in run if blocks[other].end <= blocks[name].start]
        run[name] = 1 + max(before, default=0)
    return max(run.values(), default=0) / len(names)
