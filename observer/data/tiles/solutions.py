"""Worked solutions of sums: what a cold start imitates. Knows nothing of pictures or questions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from observer.seeding import stable_seed

Solutions = Literal["plain", "varied"]
FORMS = 4
"""Of varied solutions: with and without a list of what is seen, terse and verbose."""


def solution(values: Sequence[int], observe: bool = True, verbose: bool = False) -> str:
    """Return a worked solution of a sum.

    Args:
        values: at least one, in reading order.
        observe: whether a list of what is seen comes before the chain, as the format of Observe-R1 asks.
        verbose: whether the chain starts at 0 and is checked by another from the back. On the tiles such a
            response has 1.8 to 2.2 times the tokens of the terse one.

    >>> solution([4, 5, 2])
    '<observe> 4 5 2 </observe><think> 4 + 5 = 9 + 2 = 11 </think><answer> 11 </answer>'
    >>> solution([4, 5], observe=False, verbose=True)
    '<think> 0 + 4 = 4 + 5 = 9 , 0 + 5 = 5 + 4 = 9 </think><answer> 9 </answer>'
    """
    values = list(values)
    chains = [_chain([0, *values]), _chain([0, *values[::-1]])] if verbose else [_chain(values)]
    observed = f"<observe> {' '.join(map(str, values))} </observe>" if observe else ""
    return f"{observed}<think> {' , '.join(chains)} </think><answer> {sum(values)} </answer>"


def varied_solution(values: Sequence[int], name: str, row: int) -> str:
    """Return a worked solution in one of four forms, each as likely, whatever the values.

    Args:
        values: at least one, in reading order.
        name: of the rows.
        row: whose solution it is; it alone decides on the form.
    """
    form = stable_seed("tiles form", name, row) % FORMS
    return solution(values, observe=bool(form & 1), verbose=bool(form & 2))


def _chain(values: Sequence[int]) -> str:
    steps = zip(values[1:], list(accumulate(values))[1:], strict=True)
    return " ".join([str(values[0]), *(f"+ {value} = {total}" for value, total in steps)])
