"""Language consistency, as far as an alphabet tells languages apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.types import Group, Score

Script = Literal[
    "latin",
    "chinese",
    "japanese",
    "korean",
    "cyrillic",
    "greek",
    "arabic",
    "hebrew",
    "devanagari",
    "bengali",
    "tamil",
    "thai",
]
_HAN = ("CJK", "IDEOGRAPHIC")
# First words of the names that Unicode gives letters; the other scripts are called by their own name.
_NAMES: dict[str, tuple[str, ...]] = {
    "chinese": (*_HAN, "BOPOMOFO"),
    "japanese": (*_HAN, "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"),
    "korean": ("HANGUL",),
}
_MARKS = re.compile(r"\$\$?|\\[()\[\]]|\\[A-Za-z]+|\\.|</?[A-Za-z_]+>|`+", re.DOTALL)
_CLOSINGS = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}


@dataclass(frozen=True)
class LanguageConsistency(Reward):
    r"""r = letters of the script / all letters: keeps a response to one script, for readers of one language.

    Letters count one by one. Tags, LaTeX commands and anything inside ``$..$``, ``\(..\)``, ``\[..\]`` or
    backquotes do not count, nor do digits and signs. A response without letters gets no value.

    Reference: DeepSeek-R1, arXiv 2501.12948, section 2.3.2, adds the share of the target language's words
    (wording from memory); how it classifies a word was not published. Letters instead of words are our own.

    Assumes that the script tells: it cannot tell English from French, nor Chinese characters in Chinese
    from those in Japanese. Names and units in Latin letters count against other scripts, a text hidden in a
    formula does not.

    Args:
        weight: the reward of a response that is all in the script.
        script: latin, chinese, japanese (kana and Chinese characters), korean (Hangul), cyrillic, greek,
            arabic, hebrew, devanagari, bengali, tamil or thai.

    >>> reward = LanguageConsistency(script="latin")
    >>> reward.share("<think>so да</think> $x_{\text{д}}$ = 3"), reward.share("<answer>7</answer>")
    (0.5, None)
    """

    weight: float = 0.1
    script: Script = "latin"

    def __post_init__(self) -> None:
        """Refuse a script that is not known."""
        super().__post_init__()
        scripts = get_args(Script)
        refuse_unless(self.script in scripts, self, "script", f"give one of {', '.join(scripts)}")

    def share(self, text: str) -> float | None:
        """Return the share of the letters that are of the script; None without letters.

        Args:
            text: the response.
        """
        letters = [letter for letter in unicodedata.normalize("NFKC", prose(text)) if letter.isalpha()]
        if not letters:
            return None
        names = _NAMES.get(self.script, (self.script.upper(),))
        return sum(_first_word(letter) in names for letter in letters) / len(letters)

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return each completion's share, 0 to 1; None where it has no letters."""
        return [self.share(completion.text) for completion in group.completions]


def prose(text: str) -> str:
    r"""Return a text without its formulas, LaTeX commands, code and tags, in one pass.

    An opening mark that nothing closes takes nothing away.

    >>> prose(r"so $x$ and \(y\)<b>, a `z` costs 3 \frac{a}{b}$ only")
    'so  and , a  costs 3 {a}{b} only'
    """
    kept: list[str] = []
    since = ""  # the mark that is open
    held: list[str] = []  # the text after it, in case nothing closes it
    position = 0
    for mark in _MARKS.finditer(text):
        (held if since else kept).append(text[position : mark.start()])
        position = mark.end()
        if since and mark[0] == _CLOSINGS.get(since, since):
            since, held = "", []
        elif not since and (mark[0] in _CLOSINGS or mark[0][0] == "`"):
            since = mark[0]
    return "".join([*kept, *held, text[position:]])


@cache
def _first_word(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
