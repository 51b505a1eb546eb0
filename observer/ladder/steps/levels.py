"""Levels of a ladder and their shares: what mixing and sampling have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from observer.curriculum.index import RUNGS
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES
from observer.refusal import refuse_unless

Shares = Literal["paper", "ladder"] | tuple[float, ...]
"""Of the nine levels: the paper's shares, those that the rows have, or nine numbers."""


def levels(difficulty_N: np.ndarray) -> np.ndarray:
    """Return difficulties in eighths, 0 .. 8, (N,), int64."""
    level_N: np.ndarray = np.rint(difficulty_N * (RUNGS - 1)).astype(np.int64)
    return level_N


def refuse_shares(step: object) -> None:
    """Refuse shares that are no name and not nine numbers."""
    shares = getattr(step, "shares", "paper")
    named = shares in ("paper", "ladder")
    numbers = not isinstance(shares, str) and len(shares) == RUNGS and min(shares) >= 0 < sum(shares)
    refuse_unless(named or numbers, step, "shares", f"it must be paper, ladder or {RUNGS} numbers >= 0")


def shares_of(shares: Shares, sizes: Sequence[int]) -> np.ndarray:
    """Return the shares of levels, which sum to 1; a level without rows has none.

    >>> shares_of("ladder", [1, 0, 3, 0, 0, 0, 0, 0, 0])[:3].tolist()
    [0.25, 0.0, 0.75]
    """
    if isinstance(shares, str):
        shares = tuple(PAPER_SHARES if shares == "paper" else sizes)
    found: np.ndarray = np.array(shares, np.float64) * (np.array(sizes) > 0)
    found /= max(found.sum(), 1e-300)
    return found


def allocated(wanted: np.ndarray, total: int, supply: Sequence[int]) -> np.ndarray:
    """Return whole numbers that sum to ``total``, near their wanted sizes and within their supply.

    What a full one cannot take goes to the others, in proportion; the largest remainders are rounded up,
    the first ones of equals.

    Args:
        wanted: not negative, relative to their sum.
        total: at most the sum of the supply of those that are wanted.
        supply: the most of each.

    >>> allocated(np.array([1.0, 1.0, 2.0]), 8, [1, 9, 9]).tolist()
    [1, 2, 5]
    """
    most = np.where(wanted > 0, supply, 0)
    given = np.zeros(len(wanted))
    open_ = most > 0
    while open_.any() and (rest := total - given[~open_].sum()) > 0:
        given[open_] = wanted[open_] / wanted[open_].sum() * rest
        full = open_ & (given >= most)
        if not full.any():
            break
        given[full] = most[full]
        open_ &= ~full
    whole = np.floor(given + 1e-9).astype(np.int64)
    order = np.argsort(-(given - whole), kind="stable")
    for place in [place for place in order if whole[place] < most[place]][: total - int(whole.sum())]:
        whole[place] += 1
    return whole
