"""One sentence for every parameter that a reward refuses."""

from __future__ import annotations

from observer.types import RefusedError


def refuse_unless(possible: bool, reward: object, name: str, mend: str) -> None:
    """Refuse a parameter that makes no sense. A comparison with nan is false, so that nan is refused too.

    Args:
        possible: whether the parameter is fine.
        reward: whose parameter it is.
        name: of the parameter.
        mend: what to give instead.

    Raises:
        RefusedError: it is not possible; names the class, the parameter, its value and the mend.
    """
    if not possible:
        raise RefusedError(f"{type(reward).__name__}.{name} is {getattr(reward, name)!r}; {mend}")
