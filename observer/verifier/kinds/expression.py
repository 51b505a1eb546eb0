"""Answers that are mathematical expressions, in LaTeX or plain: compared by what they are equal to.

The comparison is math-verify's, in LaTeX only: its plain reader evaluates text as code. It may need any time
and memory, so that this checker runs in a process that can be killed; what can be seen to be hopeless is
refused here, by tests that are linear in the input.
"""

from __future__ import annotations

import logging
import re
import warnings
from fractions import Fraction
from typing import Any

from observer.types import Verdict
from observer.verifier.kinds.number import Number, equal, read_number
from observer.verifier.kinds.units import Unit, read_unit
from observer.verifier.notation import bare, quote

MAX_DEPTH = 12
"""Levels of brackets, at most."""

_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|theta|alpha|beta|gamma"
    "|infinity|infty|inf|min|max|gcd|lcm"
)
_PLAIN_FUNCTION = re.compile(rf"(?<![A-Za-z\\])({_FUNCTIONS})(?![A-Za-z])")
_COMMANDS = {"infinity": "infty", "inf": "infty"}
_SYMBOLS = {
    "**": "^",
    "√": r"\sqrt ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "×": r"\times ",
    "÷": r"\div ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "²": "^{2}",
    "³": "^{3}",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "°": r"^{\circ}",
}
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|operatorname|begin|end)\s*\{[^{}]*\}")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}")
_LONG_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{5,}")
_DELIMITER = re.compile(r"\$|\\[()\[\]]|\\(?:boxed|fbox)(?![A-Za-z])")
_UNIT = re.compile(
    r"(?:\\(?:text|mathrm|mbox|textrm)\s*\{([^{}]*)\}((?:\^\{?-?[0-9]\}?)?)|(?<=\S) ([A-Za-z]{2,}[²³]?))$"
)
_NAME = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_\{?[A-Za-z0-9]+\}?)?'?(?: ?\([A-Za-z]\))?")
_BIG_FACTORIAL = re.compile(r"[0-9]{4,} ?!|! ?[)}\]]* ?!")
_BIG_EXPONENT = re.compile(r"\^ ?[({]? ?[+-]? ?[0-9,.]{5,}")
_COMMAND = re.compile(r"\\[A-Za-z]{2,}")
_OPERATOR = re.compile(r"[A-Za-z0-9)}\]]\s*[-+*/=<>≤≥]\s*[A-Za-z0-9({\[\\√π-]")
_COEFFICIENT = re.compile(
    r"(?:^|[^A-Za-z0-9_])[0-9.]+(?!st|nd|rd|th)[A-Za-zπθ]{1,2}(?![A-Za-z])|[0-9)]√|√[0-9(]"
    r"|[0-9)]!|^-[a-z]$|^[0-9.]+ [a-z]$"
)
_SPARE = "qwzvukjhgbdcamnprst"
_DIGITS = re.compile(r"[-/. 0-9]*")


def check_expression(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    r"""Check an expression. May take any time and memory: only ever called in a process that can be killed.

    - Two numbers without units are compared by the number rule.
    - A decimal may be off by ``RELATIVE_TOLERANCE`` from a gold that is a constant.
    - A prediction may name what it is the value of (``x = 5``) where the gold has no relation, and leave the
      name away where the gold has it; any other relation must be equivalent.
    - A trailing unit may be missing on one side; where both have one, the prediction is converted.
    - A percent sign stands on both or on neither.
    - Capitals are other letters only where the gold has both forms of a letter.

    >>> check_expression("x^2 + 2x + 1", "(x+1)^2", ())[0].value
    'correct'
    """
    fault = expression_fault(gold)
    parsed = None if fault else _parse(_Written(gold).body)
    if parsed is None or not _same(parsed, parsed):  # 1/0 is not even itself
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {fault or 'is no expression'}"
    if not prediction:
        return Verdict.WRONG, "there is no answer"
    number, given = read_number(gold), read_number(prediction)
    if number is not None and given is not None and number.unit is None and given.unit is None:
        same = equal(number, given)
    elif fault := expression_fault(prediction):
        return Verdict.WRONG, f"{quote(prediction)} {fault}"
    else:
        same = _equivalent(_Written(gold), _Written(prediction))
    if same:
        return Verdict.CORRECT, f"{quote(prediction)} equals {quote(gold)}"
    return Verdict.WRONG, f"{quote(prediction)} does not equal {quote(gold)}"


def expression_fault(text: str) -> str:
    """Return why a text is no expression that can be compared, as far as a look shows; else nothing.

    >>> expression_fault("x^2"), expression_fault("9^{9^9}"), expression_fault("I do not know")
    ('', 'holds a tower of powers', '')
    """
    text = _plain(bare(text))
    depths = _depths(text)
    if not text:
        return "is blank"
    if depths is None:
        return "has brackets that do not match"
    if depths > MAX_DEPTH:
        return f"has brackets more than {MAX_DEPTH} deep"
    if _DELIMITER.search(text):
        return "is more than one expression"
    if _LONG_WORD.search(_TEXT.sub(" ", text)):
        return "holds words"
    if _BIG_FACTORIAL.search(text):
        return "holds a huge factorial"
    if _BIG_EXPONENT.search(text) or _has_tower(text):
        return "holds a tower of powers"
    return ""


def looks_like_expression(gold: str) -> bool:
    r"""Return whether a gold answer is surely an expression: a command, a power, or terms with an operator.

    >>> [looks_like_expression(gold) for gold in (r"\sqrt{2}", "x^2", "2x", "2019-2020", "T-shirt")]
    [True, True, True, False, False]
    """
    text = bare(gold)
    if expression_fault(gold) or _DIGITS.fullmatch(text):
        return False
    bald = _PLAIN_FUNCTION.sub(r"\\pi ", _TEXT.sub(" ", text))
    if _WORD.search(bald):
        return False
    mixed = any(letter.isdigit() or letter in "(=+*<>≤≥\\" for letter in text)
    return bool(
        "^" in text
        or _COMMAND.search(bald)
        or (mixed and _OPERATOR.search(bald))
        or _COEFFICIENT.search(bald)
        or any(sign in text for sign in ("π", "∞", r"\begin"))
    )


class _Written:
    """An expression as it was written, its unit and what is left of it."""

    def __init__(self, text: str) -> None:
        body, self.unit = _split_unit(_plain(bare(text)))
        self.body = bare(body)
        self.percent = "%" in self.body


def _equivalent(gold: _Written, prediction: _Written) -> bool:
    if gold.percent != prediction.percent:
        return False
    if "=" in prediction.body and "=" not in gold.body:
        name, _, value = prediction.body.partition("=")
        if not _NAME.fullmatch(name.strip()) or "=" in value:
            return False
        prediction.body = bare(value)
    if gold.unit is not None and prediction.unit is not None and gold.unit != prediction.unit:
        if gold.unit.dimension != prediction.unit.dimension or prediction.unit.zero or gold.unit.zero:
            return False
        factor = prediction.unit.worth / gold.unit.worth
        prediction.body = rf"({prediction.body}) \cdot \frac{{{factor.numerator}}}{{{factor.denominator}}}"
    capitals = _capitals(_letters(gold.body), _letters(prediction.body))
    right, given = _parse(_recased(gold.body, capitals)), _parse(_recased(prediction.body, capitals))
    if right is None or given is None:
        return False
    number = read_number(prediction.body)
    if number is not None and number.step is not None:
        constant = _value(right[0])
        if constant is not None:
            return equal(Number(constant, is_fraction=True, percent=number.percent), number)
    return _same(right, given)


def _same(gold: list[Any], prediction: list[Any]) -> bool:
    from math_verify import verify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(verify(gold, prediction, timeout_seconds=None))


def _value(parsed: Any) -> Fraction | None:
    """Return the value of a real constant, to 30 digits; None for anything else."""
    from sympy import Limit
    from sympy.concrete.expr_with_limits import ExprWithLimits

    # Sums, integrals and limits may have no value, which raises.
    if not getattr(parsed, "is_number", False) or parsed.has(ExprWithLimits, Limit):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = parsed.evalf(30)
    return Fraction(str(value)) if value.is_Float and value.is_finite else None


def _letters(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]", _COMMAND.sub(" ", text)))


def _capitals(gold: set[str], prediction: set[str]) -> dict[int, str]:
    """Return other letters for the capitals that the gold tells from small ones.

    The library knows small letters only: to it, R - r is 0.
    """
    both = sorted(letter for letter in gold if letter.isupper() and letter.lower() in gold)
    taken = {letter.lower() for letter in gold | prediction}
    return str.maketrans(dict(zip(both, (letter for letter in _SPARE if letter not in taken), strict=False)))


def _recased(text: str, capitals: dict[int, str]) -> str:
    pieces = re.split(r"(\\[A-Za-z]+)", text)
    return "".join(piece if piece.startswith("\\") else piece.translate(capitals) for piece in pieces)


def _parse(body: str) -> list[Any] | None:
    """Return what math-verify reads; None when it reads nothing."""
    # These take seconds to import and nobody but the processes that check expressions needs them.
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns of time-outs that are not its own
    # Left to itself it takes a trailing t, h or m for a unit and drops it.
    normalisation = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
    )
    latex = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=normalisation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            parse(f"${_braced_roots(body)}$", [latex], fallback_mode="no_fallback", parsing_timeout=None)
            or None
        )


def _plain(text: str) -> str:
    """Write symbols and plain functions as LaTeX."""
    for symbol, latex in _SYMBOLS.items():
        text = text.replace(symbol, latex)
    return " ".join(
        _PLAIN_FUNCTION.sub(lambda match: "\\" + _COMMANDS.get(match[1], match[1]) + " ", text).split()
    )


def _braced_roots(text: str) -> str:
    r"""Turn the round brackets after ``\sqrt`` into braces."""
    opened: list[bool] = []
    pieces = []
    for piece in re.split(r"(\\sqrt ?\(|[()])", text):
        if piece in ("(", ")") or (piece.startswith("\\sqrt") and piece.endswith("(")):
            if piece != ")":
                opened.append(piece != "(")
                piece = piece if piece == "(" else r"\sqrt{"
            elif opened and opened.pop():
                piece = "}"
        pieces.append(piece)
    return "".join(pieces)


def _split_unit(text: str) -> tuple[str, Unit | None]:
    """Split a trailing unit off."""
    match = _UNIT.search(text)
    if match is None or not match.start():
        return text, None
    unit = read_unit((match[1] or match[3] or "").strip() + (match[2] or ""))
    return (text, None) if unit is None else (text[: match.start()], unit)


def _depths(text: str) -> int | None:
    """Return how deep brackets are nested; None when braces do not match."""
    depth = deepest = braces = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        braces += (letter == "{") - (letter == "}")
        if braces < 0:
            return None
        deepest = max(deepest, depth)
    return None if braces else deepest


def _has_tower(text: str) -> bool:
    """Return whether a number has a power in its exponent, or anything powers three high."""
    levels: list[int] = []
    level, pending, previous = 0, 0, ""
    text = text.replace(" ", "")
    for position, letter in enumerate(text):
        if letter == "^":
            height = max(level, pending) + 1
            power = text[position + 1 : position + 3].lstrip("({")
            if height > 2 or (height == 2 and previous.isdigit() and power[:1].isdigit()):
                return True
            pending = height
        elif letter in "({[":
            levels.append(level)
            level, pending = max(level, pending), 0
        elif letter in ")}]":
            level, pending = (levels.pop() if levels else 0), 0
        elif previous != "^":
            pending = 0
        previous = letter
    return False
