"""One sentence for every parameter of a strategy, and every option of a learner, that is refused."""

from __future__ import annotations

from typing import Any, get_args

from observer.types import RefusedError


def refuse_unless(possible: bool, strategy: object, name: str, mend: str) -> None:
    """Refuse a parameter that makes no sense. A comparison with nan is false, so that nan is refused too.

    Args:
        possible: whether the parameter is fine.
        strategy: whose parameter it is.
        name: of the parameter.
        mend: what it must be, or what to give instead.

    Raises:
        RefusedError: it is not possible; names the class, the parameter, its value and the mend.
    """
    if not possible:
        raise RefusedError(f"{type(strategy).__name__}.{name} is {getattr(strategy, name)!r}; {mend}")


def refuse_unlisted(**given: tuple[str, Any]) -> None:
    """Refuse an option of ``model`` that is none of the values of its ``Literal``.

    Args:
        given: name of the option -> its value and the ``Literal``.

    Raises:
        RefusedError: names the option, its value and the values that there are.
    """
    for name, (value, literal) in given.items():
        if value not in get_args(literal):
            known = ", ".join(get_args(literal))
            raise RefusedError(f"model.{name} is {value!r}; it must be one of {known}")


def refuse_unknown(strategy: object, name: str, literal: Any) -> None:
    """Refuse a parameter that is none of the values of its ``Literal``.

    Raises:
        RefusedError: as ``refuse_unless``; names the values that there are.
    """
    known = get_args(literal)
    refuse_unless(getattr(strategy, name) in known, strategy, name, f"it must be one of {', '.join(known)}")
