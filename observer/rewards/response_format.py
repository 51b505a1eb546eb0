"""Response formats: the system prompt that asks for one, and a strict reader of responses.

A reader finds the answer as written; it does not check it. No other module looks for
answers: training, held-out evaluation and scoring share this one. Every scan takes linear time.

By default an answer counts only where the format is kept. The formats with blocks can be told to look for it
elsewhere too (``lenient``); this does not change which responses keep the format.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from observer.rewards.blocks import share_in_order
from observer.rewards.extraction import Extraction, check_extractions, find_answer, last_boxed


@dataclass(frozen=True)
class Reading:
    """What a format finds in one response."""

    formatted: bool
    """Whether the response keeps the format."""
    answer: str | None
    """The answer without outer blanks; None when there is none, or none in its place."""
    blocks: Mapping[str, str] = field(default_factory=dict)
    """The text of each block by tag name, without outer blanks; empty when the format is not kept."""
    fault: str = ""
    """The first fault of the format; empty when there is none."""
    share: float = 0.0
    """Share of the required blocks that occur once, not blank and in order, in [0, 1]."""


class ResponseFormat(ABC):
    """The form of a response, and the system prompt that asks for it.

    A concrete format is a frozen dataclass with a field ``system_prompt``.
    """

    system_prompt: str | None
    """The user's own system prompt; None for the format's default, an empty string for none at all."""

    @property
    def prompt(self) -> str:
        """The system prompt in effect; an empty string means none."""
        return self.default_prompt() if self.system_prompt is None else self.system_prompt

    @abstractmethod
    def default_prompt(self) -> str:
        """Return the system prompt that explains this format."""

    @abstractmethod
    def read(self, text: str) -> Reading:
        """Read a response, in time linear in its length.

        Args:
            text: the response, decoded, without the end token. The prompt is no part of it.
        """


@dataclass(frozen=True)
class Observe(ResponseFormat):
    r"""Three blocks in order: observe, think, answer.

    Each block once, none blank, nothing but blanks around them, none of these tags inside them.

    Reference: Observe-R1, arXiv 2505.12432. The wording of the system prompt is ours; none was released.

    Args:
        system_prompt: your own system prompt; null for the format's default, an empty string for none.
        lenient: where else the answer is looked for when the format is not kept, in this order: ``tag`` (the
            last closed ``<answer>`` block), ``box`` (the last closed ``\boxed{}``), ``line`` (the last
            line); empty for nowhere, so that a response that breaks the format has no answer.

    >>> Observe().read("<observe>a dial</observe> <think>it shows 3</think> <answer> 3 </answer>").answer
    '3'
    >>> Observe().read("<think>it shows 3</think><answer>3</answer>").fault
    'expected <observe> and found <think>'
    >>> reading = Observe(lenient=("tag", "line")).read("The dial shows <answer>3</answer>.")
    >>> reading.answer, reading.formatted
    ('3', False)
    """

    system_prompt: str | None = None
    lenient: tuple[Extraction, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an extraction that does not exist."""
        check_extractions(self.lenient)

    def default_prompt(self) -> str:
        """Return the system prompt that explains this format."""
        return (
            "First look at the picture, then reason, then answer. "
            "Write exactly three blocks, each on a new line:\n"
            "<observe>what you see in the picture that matters to the question</observe>\n"
            "<think>your reasoning, step by step</think>\n"
            "<answer>the final answer alone</answer>\n"
            "The answer is bare: only the number, the expression or the letter of the option. "
            "Write nothing outside the blocks."
        )

    def read(self, text: str) -> Reading:
        """Read a response of the three blocks."""
        return _read(text, ("observe", "think", "answer"), self.lenient)


@dataclass(frozen=True)
class Think(ResponseFormat):
    r"""Two blocks in order: think, answer.

    Each block once, none blank, nothing but blanks around them, neither of these tags inside them.

    Reference: DeepSeek-R1, arXiv 2501.12948.

    Args:
        system_prompt: your own system prompt; null for the format's default, an empty string for none.
        lenient: where else the answer is looked for when the format is not kept, in this order: ``tag`` (the
            last closed ``<answer>`` block), ``box`` (the last closed ``\boxed{}``), ``line`` (the last
            line); empty for nowhere, so that a response that breaks the format has no answer.

    >>> Think().read("<think>3 and 4</think><answer>7</answer>").answer
    '7'
    >>> Think().read("So: <think>3 and 4</think><answer>7</answer>").fault
    'text before <think>'
    """

    system_prompt: str | None = None
    lenient: tuple[Extraction, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an extraction that does not exist."""
        check_extractions(self.lenient)

    def default_prompt(self) -> str:
        """Return the system prompt that explains this format."""
        return (
            "First reason, then answer. Write exactly two blocks, each on a new line:\n"
            "<think>your reasoning, step by step</think>\n"
            "<answer>the final answer alone</answer>\n"
            "The answer is bare: only the number, the expression or the letter of the option. "
            "Write nothing outside the blocks."
        )

    def read(self, text: str) -> Reading:
        """Read a response of the two blocks."""
        return _read(text, ("think", "answer"), self.lenient)


@dataclass(frozen=True)
class Free(ResponseFormat):
    r"""No format: any text that is not blank will do.

    The answer is the content of the last closed ``\boxed{..}``; without one it is the whole text.

    Args:
        system_prompt: your own system prompt; null for the format's default, an empty string for none.

    >>> Free().read(r"Either \boxed{3} or, better, \boxed{\frac{1}{4}}.").answer
    '\\frac{1}{4}'
    >>> Free().read(" 7 ").answer
    '7'
    """

    system_prompt: str | None = None

    def default_prompt(self) -> str:
        """Return the system prompt that explains this format."""
        return (
            "Reason step by step and put the final answer alone in \\boxed{}: "
            "only the number, the expression or the letter of the option."
        )

    def read(self, text: str) -> Reading:
        """Read a response of any form."""
        if not text.strip():
            return Reading(False, None, fault="the response is blank")
        answer = last_boxed(text)
        answer = text.strip() if answer is None else answer.strip()
        return Reading(True, answer or None, fault="" if answer else "the box is blank", share=1.0)


def read_blocks(text: str, names: Sequence[str]) -> Reading:
    """Read a response that must consist of the named blocks, the last of which holds the answer.

    One pass over the text that stops at the first fault, so a flood of tags costs no more than its first few.

    Args:
        text: the response.
        names: tag names in their order.

    >>> read_blocks("<think>a</think><answer> 1/4 </answer>", ("think", "answer")).blocks
    {'think': 'a', 'answer': '1/4'}
    """
    expected = [tag for name in names for tag in (f"<{name}>", f"</{name}>")]
    pieces: list[str] = []
    position = 0
    for tag in _tags(tuple(names)).finditer(text):
        if len(pieces) == len(expected):
            return Reading(False, None, fault=f"found {tag[0]} after {expected[-1]}")
        due = expected[len(pieces)]
        if tag[0] != due:
            return Reading(False, None, fault=f"expected {due} and found {tag[0]}")
        piece = text[position : tag.start()].strip()
        inside = len(pieces) % 2 == 1
        if inside != bool(piece):
            return Reading(False, None, fault=f"nothing before {due}" if inside else f"text before {due}")
        pieces.append(piece)
        position = tag.end()
    if len(pieces) < len(expected):
        return Reading(False, None, fault=f"{expected[len(pieces)]} is missing")
    if text[position:].strip():
        return Reading(False, None, fault=f"text after {expected[-1]}")
    blocks = dict(zip(names, pieces[1::2], strict=True))
    return Reading(True, blocks[names[-1]], blocks, share=1.0)


def _read(text: str, names: Sequence[str], lenient: Sequence[Extraction]) -> Reading:
    """Read the blocks; where the format is broken, the share in order and a lenient answer."""
    reading = read_blocks(text, names)
    if reading.formatted:
        return reading
    return replace(reading, answer=find_answer(text, lenient), share=share_in_order(text, names))


@cache
def _tags(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"</?(?:{'|'.join(map(re.escape, names))})>")
