"""From scored groups to what each completion is worth: advantages, bonus, weights, in this order."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from observer.objective.advantages.base import Advantage
from observer.objective.weightings.base import Weighting
from observer.types import Experience, Group, Score


def weigh(
    groups: Sequence[Group],
    scores: Sequence[Sequence[Score]],
    advantage: Advantage,
    weighting: Weighting,
) -> Experience:
    """Return weight_P * (advantage_P_G + bonus_P_G).

    The bonus of ``Score.bonus`` enters here, after the group's normalisation: inside it, a group that is all
    right would have its small bonus blown up to a full advantage by its small spread.

    Args:
        groups: P groups of G completions each.
        scores: their P x G scores.
        advantage: the estimator.
        weighting: the weight of a group by its pass rate.

    Raises:
        ValueError: a weighting gave a negative or non-finite weight, or not one a group.
    """
    rewards_P_G = torch.tensor([[s.reward for s in row] for row in scores], dtype=torch.float64)
    bonus_P_G = torch.tensor([[s.bonus for s in row] for row in scores], dtype=torch.float64)
    correct_P_G = torch.tensor([[s.correct for s in row] for row in scores], dtype=torch.float64)
    pass_rates_P = correct_P_G.mean(-1)
    weights_P = weighting(pass_rates_P, groups)
    if weights_P.shape != pass_rates_P.shape:
        raise ValueError(
            f"{type(weighting).__name__} gave weights of shape {tuple(weights_P.shape)} "
            f"for {len(groups)} groups"
        )
    if not bool((weights_P >= 0).all() and weights_P.isfinite().all()):
        raise ValueError(
            f"{type(weighting).__name__} gave weights {weights_P.tolist()}; they must be finite and >= 0"
        )
    return Experience(
        groups=tuple(groups),
        scores=tuple(tuple(row) for row in scores),
        rewards_P_G=rewards_P_G,
        pass_rates_P=pass_rates_P,
        weights_P=weights_P,
        advantages_P_G=weights_P[:, None] * (advantage(rewards_P_G) + bonus_P_G),
    )
