"""How one answer can be written: blanks, LaTeX wrappers, minus signs, quotes. It reads no meaning."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

MAX_WRAPPERS = 8
"""Wrappers taken off at most, so that no nesting costs more than this many passes."""

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("*", "*"), ("`", "`"))
_COMMANDS = (
    r"\boxed{",
    r"\fbox{",
    r"\text{",
    r"\textbf{",
    r"\textit{",
    r"\texttt{",
    r"\textrm{",
    r"\mbox{",
    r"\mathrm{",
    r"\mathbf{",
    r"\mathit{",
    r"\operatorname{",
)
_QUOTES = ('""', "''", "``", "“”", "‘’", "«»", "„“")
# Zero-width and bidi marks show nothing, so that nobody can say why two answers that look the same differ.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_BLANK = re.compile("[\t\n\v\f\r\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
_MARKS = {
    "\u2044": "/",
    "\u2215": "/",
    "\u3002": ".",
    "\u066b": ".",
    "\u066c": ",",
    "\u3010": "(",
    "\u3011": ")",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
_FULL_WIDTH = {chr(place): chr(place - 0xFEE0) for place in range(0xFF01, 0xFF5E)}
_AS_ASCII = str.maketrans(_FULL_WIDTH | _DASHES | _MARKS)
_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ"
_SUBSCRIPT = "₀₁₂₃₄₅₆₇₈₉"
_RAISED = re.compile(f"[{_SUPERSCRIPT}]+")
_LOWERED = re.compile(f"[{_SUBSCRIPT}]+")
_LEVEL = str.maketrans(_SUPERSCRIPT + _SUBSCRIPT, "0123456789+-()nx0123456789")
_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_OTHER_LETTER = re.compile("[\U0001d400-\U0001d7ff\u2160-\u217f]")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_TAGGED = re.compile(r"<(answer|ANSWER)>(.*?)</\1>", re.DOTALL)
_SPACED = re.compile(r"[ ~]*\\![ ~]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\\,|\{,\})(?=[0-9]{3})")
_LATEX_BLANK = re.compile(r"(?<!\\)\\(?:[,;:!> ]|q?quad(?![A-Za-z]))")


def clean(text: str) -> str:
    r"""Write an answer with the signs of a keyboard, without what is around it.

    Outer blanks, marks that show nothing, ``<answer>`` tags and what stands before ``####`` are taken off.
    Every kind of blank becomes a space. Dashes, full-width signs, digits of other scripts, raised and lowered
    ones and fractions of one character are written out.

    >>> clean("\u2003 7\u00a0cm\u200b\n"), clean("（B）"), clean("–2³"), clean("1½")
    ('7 cm', '(B)', '-2^{3}', '1\\frac{1}{2}')
    >>> clean("<answer> 3 </answer>"), clean("We add. #### 42")
    ('3', '42')
    """
    text = keyboard_signs(text)
    if "####" in text:
        text = text.rpartition("####")[2]
    if "</" in text and len(tagged := _TAGGED.findall(text)) == 1:
        text = tagged[0][1]
    return text.strip(" ")


def keyboard_signs(text: str) -> str:
    r"""Write a text with the signs of a keyboard: blanks, dashes, full-width signs, digits; see ``clean``.

    >>> keyboard_signs("2\u00a0−\u200b ３")
    '2 - 3'
    """
    if not (text.isascii() and text.isprintable()):
        text = _BLANK.sub(" ", _INVISIBLE.sub("", text))
    return text if text.isascii() else _as_ascii(text)


def _as_ascii(text: str) -> str:
    text = _FRACTION.sub(_written_out, text.translate(_AS_ASCII))
    text = _RAISED.sub(lambda match: f"^{{{match[0].translate(_LEVEL)}}}", text)
    text = _LOWERED.sub(_low, text)
    text = _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    return _OTHER_LETTER.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def _low(match: re.Match[str]) -> str:
    """Write lowered digits: in braces where a digit follows, which belongs not to them."""
    digits = match[0].translate(_LEVEL)
    return f"_{{{digits}}}" if match.string[match.end() : match.end() + 1].isdigit() else f"_{digits}"


def _written_out(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
    return rf"\frac{{{above}}}{{{below}}}"


def has_control(text: str) -> bool:
    r"""Return whether a clean text holds null bytes, other control characters or halves of characters.

    >>> has_control("7\0"), has_control("7 é")
    (True, False)
    """
    return _CONTROL.search(text) is not None


def bare(text: str) -> str:
    r"""Take off outer blanks, maths delimiters, ``\boxed{}``, ``\text{}``, bold and a trailing period.

    The minus sign U+2212 becomes a hyphen, LaTeX spaces become blanks and LaTeX thousands separators commas.
    Nothing inside the text is changed otherwise.

    >>> bare(r" $\boxed{\text{B}.}$. ")
    'B'
    >>> bare("$1$ or $2$")
    '$1$ or $2$'
    """
    text = text.replace("\u2212", "-").strip()
    if "\\" in text or "{" in text:
        text = _LATEX_BLANK.sub(" ", _THOUSANDS.sub(",", _SPACED.sub("", text))).strip()
    if text[:1].isalnum() and text[-1:].isalnum():
        return text
    for _ in range(MAX_WRAPPERS):
        before = text
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        text = _unwrap(text)
        if text == before:
            break
    return text


def fold(text: str) -> str:
    """Return the bare text without differences of case and of blanks.

    >>> fold("The  Red  square.")
    'the red square'
    """
    return " ".join(bare(text).split()).casefold()


def unquote(text: str) -> str:
    """Take off one pair of outer quotation marks.

    >>> unquote("“red”"), unquote("'t is")
    ('red', "'t is")
    """
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        return text[1:-1].strip()
    return text


def compatible(text: str) -> str:
    """Return the text in Unicode's NFKC form, but for digits other than 0 to 9, which stay as they are.

    >>> compatible("ﬁve"), compatible("７") == "７"
    ('five', True)
    """
    if text.isascii():
        return text
    return "".join(
        "".join(run) if keep else unicodedata.normalize("NFKC", "".join(run))
        for keep, run in groupby(text, key=_hides_a_digit)
    )


def split_top(text: str, separators: str) -> list[str]:
    r"""Split a text at separators outside brackets; the parts have no outer blanks.

    >>> split_top("(1, 2), {3, 4}, 5", ",")
    ['(1, 2)', '{3, 4}', '5']
    """
    parts, start, depth = [], 0, 0
    for position, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif depth == 0 and letter in separators:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def quote(text: str) -> str:
    """Return the text as messages show it: escaped, and cut when it is long."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r} .. ({len(text)} characters)"


def _hides_a_digit(letter: str) -> bool:
    return not letter.isascii() and any("0" <= part <= "9" for part in unicodedata.normalize("NFKC", letter))


def _unwrap(text: str) -> str:
    for opening, closing in _DELIMITERS:
        inner = text[len(opening) : len(text) - len(closing)]
        if text == opening + inner + closing and closing not in inner.replace(r"\$", ""):
            return inner.strip()
    for command in _COMMANDS:
        if text.startswith(command) and _closes_at_end(text, len(command)):
            return text[len(command) : -1].strip()
    return text


def _closes_at_end(text: str, start: int) -> bool:
    """Return whether the brace that was opened just before ``start`` is closed by the last character."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position == len(text) - 1
    return False
