"""Checks of options, and the one way in which messages show values.

Every refusal names the option, its value and the values that are valid. Values of the data may hold anything:
whatever is printed, logged or drawn of them goes through ``shown`` or ``printable``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

from observer.types import LostInputError, Problem, RefusedError

SHOWN = 80
"""The most characters of a value that a message shows."""
SHOWN_PATH = 300
"""The most characters of a path that a message shows."""


def shown(value: object, most: int = SHOWN) -> str:
    r"""Return a value as a message shows it: quoted, what cannot be seen escaped, shortened.

    Args:
        value: of any type and length.
        most: characters of the result.

    >>> print(shown("red\x1b[31m"), shown(["a"] * 1000, most=12))
    'red\x1b[31m' ['a', 'a'...
    """
    try:
        text = repr(value[: most + 1] if isinstance(value, str | bytes) else value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return f"a value of type {type(value).__name__}, too large to show"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def printable(text: object, most: int = SHOWN_PATH) -> str:
    r"""Return a text as a message shows it without quotes, as paths are: escaped, the middle left out.

    Args:
        text: a text or a path; on one line afterwards.
        most: characters that are kept, before they are escaped.

    >>> print(printable("runs/a\x1b.png"), printable("abcdefghij", most=6))
    runs/a\x1b.png abc..hij
    """
    kept = str(text)
    if len(kept) > most:
        kept = f"{kept[: most // 2]}..{kept[len(kept) - most // 2 :]}"
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in kept)


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Return up to three names that a word may have meant, those that it begins first.

    >>> nearest("see", ["seed", "seed_everything", "run_dir"])
    ['seed', 'seed_everything']
    """
    known = list(dict.fromkeys(names))
    begun = [name for name in known if name.startswith(word)] if word else []
    return list(dict.fromkeys([*begun, *difflib.get_close_matches(word, known, n=3)]))[:3]


@contextmanager
def still_there(problem: Problem) -> Iterator[None]:
    """Name the row whose pictures are decoded inside, after its rows were checked.

    Args:
        problem: the row.

    Raises:
        LostInputError: a picture is gone or another one; names row and picture, and says how to go on.
    """
    try:
        yield
    except RefusedError as error:
        where = f"{printable(problem.source)}: " if problem.source else ""
        raise LostInputError(
            f"{where}row {shown(problem.id)}: {error}; interrupted: put the picture back as it was, then go "
            "on with --ckpt_path last (where there is no checkpoint, start again)"
        ) from error


def refuse_unless(possible: bool, strategy: object, name: str, mend: str) -> None:
    """Refuse a parameter unless a condition holds. Comparisons with nan are false, so nan is refused too.

    Args:
        possible: the condition, true of valid values.
        strategy: the owner of the parameter.
        name: of the parameter.
        mend: the valid values, or the remedy.

    Raises:
        RefusedError: names the class, the parameter, its value and the remedy.
    """
    if not possible:
        raise RefusedError(f"{type(strategy).__name__}.{name} is {getattr(strategy, name)!r}; {mend}")


def refuse_outside(
    name: str,
    value: float | None,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float | None = None,
    finite: bool = True,
    hint: str = "",
) -> None:
    """Refuse a number that is out of its range, nan, or infinite.

    Args:
        name: of the option, as a user writes it, such as ``model.max_tokens``.
        value: the number; None passes where the hint offers null, and nowhere else.
        least: smallest valid value.
        most: largest valid value.
        above: bound that is itself not valid, in place of ``least``.
        finite: whether infinity is refused.
        hint: end of the message, for other valid values, such as ``, or null for no limit``.

    Raises:
        RefusedError: names the option, its value and the range.

    >>> refuse_outside("model.temperature", 0.0, above=0)
    Traceback (most recent call last):
    observer.types.RefusedError: model.temperature is 0.0; it must be > 0
    """
    low = least if above is None else above
    if value is None:
        possible = ", or null" in hint
    else:
        possible = low <= value <= most and value != above and not (finite and math.isinf(value))
    if possible:
        return
    if most < math.inf and above is None and least > -math.inf:
        may_be = f"{least:g} .. {most:g}"
    else:
        bounds = [
            f"> {above:g}" if above is not None else f">= {least:g}" if least > -math.inf else "",
            f"<= {most:g}" if most < math.inf else "",
        ]
        may_be = " and ".join(filter(None, bounds)) or "a finite number"
        if value is not None and math.isinf(value) and "finite" not in may_be + hint:
            may_be += " and finite"
    raise RefusedError(f"{name} is {value}; it must be {may_be}{hint}")


def refuse_fields(
    strategy: object,
    *names: str,
    least: float = -math.inf,
    most: float = math.inf,
    above: float | None = None,
    hint: str = "",
) -> None:
    """Refuse numbers of a strategy that are out of the range they share, or not finite.

    Args:
        strategy: the owner of the parameters.
        names: of the parameters.
        least: smallest valid value.
        most: largest valid value.
        above: bound that is itself not valid, in place of ``least``.
        hint: end of the message, for other valid values.

    Raises:
        RefusedError: names the class, the parameter, its value and the range.
    """
    finite = " and finite" if most == math.inf else ""
    for name in names:
        refuse_outside(
            f"{type(strategy).__name__}.{name}",
            getattr(strategy, name),
            least,
            most,
            above=above,
            hint=f"{finite}{hint}",
        )


def refuse_unlisted(**given: tuple[str, Any]) -> None:
    """Refuse an option of ``model`` whose value is not in its ``Literal``.

    Args:
        given: name of the option -> its value and the ``Literal``.

    Raises:
        RefusedError: names the option, its value and all valid values.
    """
    for name, (value, literal) in given.items():
        if value not in get_args(literal):
            known = ", ".join(get_args(literal))
            raise RefusedError(f"model.{name} is {value!r}; it must be one of {known}")


def refuse_unknown(strategy: object, name: str, literal: Any) -> None:
    """Refuse a parameter whose value is not in its ``Literal``.

    Raises:
        RefusedError: as ``refuse_unless``; names all valid values.
    """
    known = get_args(literal)
    refuse_unless(getattr(strategy, name) in known, strategy, name, f"it must be one of {', '.join(known)}")
