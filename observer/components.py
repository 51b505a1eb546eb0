"""What each reward did in a step: how large it was, how often it said nothing, and which say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from observer.objective.advantages.base import EQUAL
from observer.types import Experience

REWARD = "reward"
"""The sum of the rewards that enter before the normalisation, listed behind them."""


def component_values(experience: Experience) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Return the names of the parts, their values and the level of each group.

    Args:
        experience: of one rank.

    Returns:
        K names, the last ``REWARD``; values, (P, G, K), float64, NaN where a reward does not apply; levels,
            (P,).
    """
    names = [*experience.scores[0][0].parts, REWARD]
    values = [
        [
            [*(math.nan if part is None else part for part in score.parts.values()), score.reward]
            for score in row
        ]
        for row in experience.scores
    ]
    levels = [group.problem.level for group in experience.groups]
    return names, torch.tensor(values, dtype=torch.float64), torch.tensor(levels)


def component_table(
    names: Sequence[str], values_P_G_K: torch.Tensor, levels_P: torch.Tensor
) -> dict[str, Any]:
    """Return the table of a step: builtins only, None for what there is no figure of.

    Args:
        names: of the parts.
        values_P_G_K: what they are of each completion, NaN where one does not apply.
        levels_P: of the groups.

    Returns:
        ``parts``: name -> ``applies`` (share of completions), ``mean``, ``spread`` (standard deviation with
            n - 1, over completions), ``zero_variance`` (share of groups in which it does not tell completions
            apart), ``levels`` (level -> mean). ``correlation``: ``"a ~ b"`` -> Pearson's, over completions
            that both apply to; None where one of them never changes.

    >>> values = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[1.0, 0.5], [1.0, 0.5]]]).double()
    >>> table = component_table(["accuracy", "reward"], values, torch.tensor([1, 2]))
    >>> table["parts"]["accuracy"]  # doctest: +NORMALIZE_WHITESPACE
    {'applies': 1.0, 'mean': 0.75, 'spread': 0.5, 'zero_variance': 0.5, 'levels': {1: 0.5, 2: 1.0}}
    >>> table["correlation"]
    {'accuracy ~ reward': 1.0}
    """
    columns = {name: values_P_G_K[..., place] for place, name in enumerate(names)}
    parts = {name: _part(values_P_G, levels_P) for name, values_P_G in columns.items()}
    correlation = {
        f"{one} ~ {other}": _correlation(columns[one], columns[other])
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    }
    return {"parts": parts, "correlation": correlation}


def _part(values_P_G: torch.Tensor, levels_P: torch.Tensor) -> dict[str, Any]:
    there_P_G = ~values_P_G.isnan()
    values = values_P_G[there_P_G]
    compared_P = there_P_G.sum(-1) > 1
    most_P = values_P_G.nan_to_num(-math.inf).amax(-1)
    least_P = values_P_G.nan_to_num(math.inf).amin(-1)
    silent_P = (most_P - least_P)[compared_P] < EQUAL
    by_level = {level: values_P_G[levels_P == level] for level in sorted(set(levels_P.tolist()))}
    return {
        "applies": float(there_P_G.double().mean()),
        "mean": float(values.mean()) if len(values) else None,
        "spread": float(values.std()) if len(values) > 1 else None,
        "zero_variance": float(silent_P.double().mean()) if len(silent_P) else None,
        "levels": {
            level: float(own.nanmean()) for level, own in by_level.items() if not bool(own.isnan().all())
        },
    }


def _correlation(one_P_G: torch.Tensor, other_P_G: torch.Tensor) -> float | None:
    both = ~(one_P_G.isnan() | other_P_G.isnan())
    one, other = one_P_G[both], other_P_G[both]
    if len(one) < 2 or float(one.max() - one.min()) < EQUAL or float(other.max() - other.min()) < EQUAL:
        return None
    one, other = one - one.mean(), other - other.mean()
    return max(-1.0, min(1.0, float((one @ other) / (one.norm() * other.norm()))))
