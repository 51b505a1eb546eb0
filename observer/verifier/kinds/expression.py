"""Answers that are formulas, in LaTeX or plain: compared by what they are equal to.

What ``observer.verifier.maths`` reads is compared by it, in bounded time. The rest, such as sums and
integrals, goes to SymPy, which may need any time and memory: this checker runs in a process that can be
killed, and what can be seen to be hopeless is refused here, by tests that are linear in the input.
"""

from __future__ import annotations

import re
from functools import lru_cache

from observer.types import Verdict
from observer.verifier.kinds.number import equal, read_number
from observer.verifier.kinds.symbolic import same_symbolic
from observer.verifier.kinds.units import Unit, read_unit
from observer.verifier.maths.parse import parse
from observer.verifier.maths.same import same
from observer.verifier.maths.tokens import FUNCTIONS, SYMBOLS
from observer.verifier.maths.tree import Node, UnreadableError, names_in, number, renamed
from observer.verifier.notation import bare, quote

MAX_DEPTH = 12
"""Levels of brackets, at most."""

_PLAIN_FUNCTION = re.compile(
    rf"(?<![A-Za-z\\])({'|'.join(sorted(FUNCTIONS, key=len, reverse=True))}"
    "|pi|theta|alpha|beta|gamma|infinity|infty|inf)(?![A-Za-z])"
)
_COMMANDS = {"infinity": "infty", "inf": "infty"}
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|operatorname|begin|end)\s*\{[^{}]*\}")
_WORD = re.compile(r"(?<![A-Za-z\\])(?=[A-Za-z]*[AEIOUaeiou])[A-Za-z]{3,}")
_LONG_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{5,}")
_BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_WRAPPED = r"\\(?:text|mathrm|mbox|textrm|rm)\s*\{[^{}]*\}|\{[a-z]{2,}\}"
_RAISED = r"(?:\s*\^\s*\{?-?[0-9]\}?)?"
_UNIT = re.compile(
    rf"(?<![-+*/=^_(\s])[\s~]*(?P<unit>(?:{_WRAPPED}"
    r"|(?<![A-Za-z\\])(?:(?:square|cubic|sq|cu)\.? )?"
    r"(?:cm|mm|km|kg|dm|ml|mL|ft|[A-Za-z]{4,}|(?<=\s)[A-Za-z]{2,3})"
    rf"|(?:平方|立方)?[米厘分毫千克公斤吨秒钟小时天升元度]+|(?<=\s)m){_RAISED}(?:\s*/\s*(?:{_WRAPPED}|[A-Za-z]+){_RAISED})*)$"
)
_BIG_FACTORIAL = re.compile(r"[0-9]{5,} ?!|! ?[)}\]]* ?!")
_BIG_EXPONENT = re.compile(r"\^ ?[({]? ?[+-]? ?[0-9,.]{5,}")
_COMMAND = re.compile(r"\\[A-Za-z]{2,}")
_OPERATOR = re.compile(r"[A-Za-z0-9)}\]]\s*(?:[<>!]=|=[<>]|[-+*/=<>≤≥≠])\s*[A-Za-z0-9({\[\\√π∠△|-]")
_COEFFICIENT = re.compile(
    r"(?:^|[^A-Za-z0-9_])[0-9.]+(?!st|nd|rd|th)[A-Za-zπθ]{1,2}(?![A-Za-z])|[0-9)]√|√[0-9(]|[0-9)]!"
    r"|(?<![A-Za-z])[a-z]!|^-[a-z]$|^-?[0-9.]+(?: [a-z])+$|(?<![A-Za-z])[A-Za-z] [-+] [A-Za-z](?![A-Za-z])"
    r"|^-?[0-9]+_\{?[0-9]+\}?$|^\|.*[A-Za-z0-9].*\||^[A-Za-z](?:\s?[-/+*]\s?[A-Za-z])+$(?<=[a-z])|^[a-z]\s?[-/+*]\s?[A-Z]$"
)
"""2x, 2√3, 5!, n!, -a, 15 x y, p - q, 4210_5."""
_AND = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_SHORT_UNIT = re.compile(r"(?<![A-Za-z{])(?!cm|mm|km|kg|dm|ml|mL)[A-Za-z]{1,3}(?:\^\{?[0-9]\}?)?$")
_LETTER = re.compile("[A-Za-z]")
_FIGURE_WORD = re.compile(r"(?<![A-Za-z\\])(triangle|angle) (?=[A-Z]{1,4}(?![A-Za-z]))")
_FIGURE = re.compile(r"(?:\\(?:triangle|angle|overline|overrightarrow)|[∠△])\s*\{?[A-Z]{1,4}\}?")
_PERCENT = re.compile(r"\\?%")
_BEYOND = re.compile(
    r"\\(?:sum|prod|int|iint|oint|lim|cap|setminus|mathbb|begin|partial|det)(?![A-Za-z])|\\\{.*(?:\||\\mid|:)"
)
"""What SymPy reads and ``maths`` does not."""
_SIGNS = re.compile(r"[0-9\\^=<>≤≥+*/√π∞α-ωΑ-Ω∠△]")
_DIGITS = re.compile(r"[-/. 0-9]*")


def check_expression(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    r"""Check a formula. May take any time and memory: only ever called in a process that can be killed.

    - Two numbers without units are compared by the number rule.
    - A decimal may be off by ``RELATIVE_TOLERANCE`` from a gold that is a constant.
    - A prediction may name what it is the value of (``x = 5``) where the gold has no name, and leave the name
      away where the gold has it. What it says on the way must be right: ``x = 6 = 5`` and ``\pi \approx 3.2``
      are not.
    - Equations are equal when one is a multiple of the other. An inequality is the interval it describes.
    - Several values without brackets may come in any order.
    - A trailing unit may be missing on one side; where both have one, the prediction is converted.
    - A percent sign stands on both or on neither.
    - Angles with a degree sign are in degrees.
    - Capitals are other letters only where the gold has both forms of a letter.

    >>> check_expression("x^2 + 2x + 1", "(x+1)^2", ())[0].value
    'correct'
    """
    if fault := gold_fault(gold):
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {fault}"
    right = _Written(gold)
    if not prediction:
        unread = right.tree is None and same_symbolic(right.body, right.body) is None
        return (
            (Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is no expression")
            if unread
            else (Verdict.WRONG, "there is no answer")
        )
    a, b = read_number(gold), read_number(prediction)
    if a is not None and b is not None and a.unit is None and b.unit is None:
        verdict: bool | None = equal(a, b)
    elif fault := expression_fault(prediction):
        return Verdict.WRONG, f"{quote(prediction)} {fault}"
    else:
        verdict = _equivalent(right, _Written(prediction, right.tree))
    if verdict is None:
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is no expression"
    if verdict:
        return Verdict.CORRECT, f"{quote(prediction)} equals {quote(gold)}"
    return Verdict.WRONG, f"{quote(prediction)} does not equal {quote(gold)}"


def same_formula(gold: str, prediction: str) -> bool:
    r"""Return whether two texts are the same formula, as far as ``maths`` reads them: in bounded time.

    >>> same_formula(r"2\sqrt{3}\text{ cm}", "2√3 cm"), same_formula("x=1", "x=2"), same_formula("on", "no")
    (True, False, False)
    """
    if any(
        not _SIGNS.search(text) or expression_fault(text) or _WORD.search(_bald(text))
        for text in (gold, prediction)
    ):
        return False  # "on" is no product that equals "no"
    right, given = _Written(gold), _Written(prediction)
    return right.tree is not None and given.tree is not None and _equivalent(right, given) is True


def gold_fault(gold: str) -> str:
    r"""Return why no answer could be compared with a gold one, as far as a look shows; else nothing.

    >>> gold_fault("x^2"), gold_fault("1/0"), gold_fault("9^{9^9}")
    ('', 'does not equal itself', 'holds a tower of powers')
    """
    if fault := expression_fault(gold):
        return fault
    written = _Written(gold)
    if written.tree is None:
        return "" if _BEYOND.search(written.body) else "cannot be read"
    return "" if _is_itself(written.tree) else "does not equal itself"


def expression_fault(text: str) -> str:
    """Return why a text is no expression that can be compared, as far as a look shows; else nothing.

    >>> expression_fault("x^2"), expression_fault("9^{9^9}"), expression_fault("I do not know")
    ('', 'holds a tower of powers', '')
    """
    text = _symbols(bare(text))
    depths = _depths(text)
    if not text:
        return "is blank"
    if depths is None:
        return "has brackets that do not match"
    if depths > MAX_DEPTH:
        return f"has brackets more than {MAX_DEPTH} deep"
    if _BOXED.search(text):
        return "is more than one expression"
    if _LONG_WORD.search(_functions(_TEXT.sub(" ", _split_unit(text)[0]))):
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
    if gold_fault(gold) or _DIGITS.fullmatch(text):
        return False
    bald = _bald(text)
    if _WORD.search(bald):
        return False
    mixed = any(letter.isdigit() or letter in "(=+*<>≤≥\\" for letter in text)
    return bool(
        "^" in text
        or _COMMAND.search(bald)
        or (mixed and _OPERATOR.search(bald))
        or _COEFFICIENT.search(text)
        or any(sign in text for sign in ("π", "∞", r"\begin"))
        or _lists_points(gold)
        or _names_figure(gold)
    )


def _bald(text: str) -> str:
    """Return a formula without words that are part of it."""
    return _PLAIN_FUNCTION.sub(
        r"\\pi ", _AND.sub(" ", _FIGURE.sub("A", _TEXT.sub(" ", _split_unit(text)[0])))
    )


def _lists_points(gold: str) -> bool:
    """Return whether a gold answer is (1, 2), (3, 4), or says what a name is worth."""
    tree = _Written(gold).tree
    if tree is None or tree.op not in ("list", "relation"):
        return False
    return (tree.op == "relation" and any(letter.isdigit() for letter in gold)) or (
        tree.op == "list" and all(part.op == "tuple" for part in tree.parts)
    )


def _names_figure(gold: str) -> bool:
    r"""Return whether a gold answer is ``\angle ABC`` or the like."""
    tree = _Written(gold).tree
    return tree is not None and tree.op == "name" and " " in tree.text


class _Written:
    """A formula as it was written: its unit, and what is left of it, read if it can be."""

    def __init__(self, text: str, gold: Node | None = None) -> None:
        plain = _symbols(bare(text))
        body, self.unit = _split_unit(plain)
        letters = _LETTER.search(_COMMAND.sub(" ", body.rpartition("=")[2]))
        if letters and _SHORT_UNIT.search(text):  # mg is m times g beside other names
            body, self.unit = plain, None
        if gold is not None and "m" in names_in(gold) and plain.endswith(" m"):  # no metre: the gold has an m
            body, self.unit = plain, None
        self.percent = "%" in body
        self.body = bare(_functions(_PERCENT.sub("", body)))
        self.tree = _tree(self.body)


@lru_cache(maxsize=4096)
def _tree(body: str) -> Node | None:
    try:
        return parse(body)
    except UnreadableError:
        return None


@lru_cache(maxsize=4096)
def _is_itself(tree: Node) -> bool:
    """Return whether a formula has a value: 1/0 is not even itself."""
    try:
        return same(tree, tree)
    except UnreadableError:
        return False


def _equivalent(gold: _Written, prediction: _Written) -> bool | None:
    """Return whether two formulas are equal; None when the gold one cannot be read."""
    if gold.tree is None or prediction.tree is None:
        if gold.percent != prediction.percent or gold.unit != prediction.unit:
            return False
        if gold.tree is not None and not _BEYOND.search(prediction.body):
            return False
        found = same_symbolic(_braced_roots(gold.body), _braced_roots(prediction.body))
        return found if gold.tree is None else bool(found)
    if gold.percent != prediction.percent:
        return False
    given = _recased(gold.tree, prediction.tree)
    if gold.unit is not None and prediction.unit is not None and gold.unit != prediction.unit:
        if gold.unit.dimension != prediction.unit.dimension or prediction.unit.zero or gold.unit.zero:
            return False
        given = Node("multiply", ((given, number(prediction.unit.worth / gold.unit.worth)),))
    try:
        return same(gold.tree, given)
    except UnreadableError:
        return False


def _recased(gold: Node, given: Node) -> Node:
    """Write letters as the gold does: capitals are other letters only where it has both."""
    wanted, there = names_in(gold), names_in(given)
    other = {name: name.swapcase() for name in there - wanted if len(name) == 1}
    return renamed(given, {a: b for a, b in other.items() if b in wanted and b not in there})


def _symbols(text: str) -> str:
    """Write symbols as LaTeX, without maths delimiters and needless blanks."""
    for symbol, latex in SYMBOLS.items():
        if symbol in text:
            text = text.replace(symbol, latex)
    text = _FIGURE_WORD.sub(r"\\\1 ", text.replace("$", " ").replace("**", "^"))
    return " ".join(text.split())


def _functions(text: str) -> str:
    """Write plain functions as LaTeX."""
    return _PLAIN_FUNCTION.sub(lambda match: "\\" + _COMMANDS.get(match[1], match[1]) + " ", text).strip()


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
    unit = read_unit(match["unit"])
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
