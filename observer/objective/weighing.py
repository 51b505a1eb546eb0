"""From scored groups to the advantage of each completion: estimate, bonus, weight, in this order."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from observer.objective.advantages.base import EQUAL, Advantage, spread, width
from observer.objective.weightings.base import Weighting
from observer.objective.weightings.permuted import Permuted, live
from observer.types import Estimated, Experience, Group, Score

Combine = Literal["sum_then_normalise", "normalise_then_sum"]
EPS = 1e-9
"""Added to the spread of a batch."""


@dataclass(frozen=True)
class ComponentWeights:
    """The reward components that enter before the normalisation."""

    weights: Mapping[str, float]
    """Name -> weight."""
    accuracy: Collection[str]
    """Names of those that reward accuracy."""


@dataclass(frozen=True)
class Ranks:
    """The ranks of a step, which all have P groups."""

    rank: int = 0
    """Of this process."""
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor
    """Joins a tensor of each rank on the first dimension, rank 0 first."""

    def own(self, joined: torch.Tensor, count: int) -> torch.Tensor:
        """Return this rank's share of what was joined."""
        return joined[self.rank * count : (self.rank + 1) * count]


def weigh(
    groups: Sequence[Group],
    scores: Sequence[Sequence[Score]],
    components: ComponentWeights,
    advantage: Advantage,
    weighting: Weighting,
    combine: Combine = "sum_then_normalise",
    ranks: Ranks = Ranks(),
) -> Experience:
    """Return weight_P_G * (estimate_P_G + bonus_P_G).

    The estimate is ``advantage`` of the summed reward, or (``normalise_then_sum``, GDPO, arXiv 2601.05242)
    the weighted sum of ``advantage`` of each reward alone, divided by the spread of these sums over the
    batch: then no reward of a wide range drowns one of a small. GDPO also subtracts their mean, which is 0
    already. Of one reward it makes plain GRPO, and so does this.

    The bonus of ``Score.bonus`` enters after the group's normalisation: inside it, a group that is all right
    would have its small bonus blown up to a full advantage by its small spread.

    A weighting of the share for accuracy alone leaves the rest of the estimate as it is. Both are on the
    scale of the estimate: where rewards for accuracy and others nearly cancel each other out in a group that
    has a scale of its own, both are large.

    Args:
        groups: P groups of G completions each.
        scores: their P x G scores.
        components: the weights of the components in ``Score.filled``.
        advantage: the estimator. It is given the rewards of all ranks.
        weighting: the weight of a group or completion.
        combine: whether rewards are summed before they are normalised or after.
        ranks: the ranks of the step; this process alone when left out.

    Raises:
        ValueError: a weighting gave a negative or non-finite weight, or not one per group or completion.
    """
    rewards_P_G = _table(scores, lambda score: score.reward)
    joined = ranks.gather(rewards_P_G)
    estimates, accuracy = _estimates(scores, joined, components, advantage, combine, ranks)
    batch = Estimated(
        groups=tuple(groups),
        scores=tuple(tuple(row) for row in scores),
        rewards_P_G=rewards_P_G,
        pass_rates_P=_table(scores, lambda score: score.correct).mean(-1),
        estimates_P_G=ranks.own(estimates, len(scores)),
    )
    weights_P_G = _weights(weighting, batch, joined, ranks)
    bonus_P_G = _table(scores, lambda score: score.bonus)
    if weighting.apply_to == "all":
        advantages_P_G = weights_P_G * (batch.estimates_P_G + bonus_P_G)
    else:
        # Not as weight * share + others, which at weight 1 would not be the estimate to the last bit.
        changed_P_G = (weights_P_G - 1) * ranks.own(accuracy, len(scores))
        advantages_P_G = batch.estimates_P_G + changed_P_G + weights_P_G * bonus_P_G
    return Experience(**vars(batch), weights_P_G=weights_P_G, advantages_P_G=advantages_P_G)


def _table(scores: Sequence[Sequence[Score]], value: Callable[[Score], float]) -> torch.Tensor:
    """Return a value of each score, (P, G), float64."""
    return torch.tensor([[float(value(score)) for score in row] for row in scores], dtype=torch.float64)


def _estimates(
    scores: Sequence[Sequence[Score]],
    joined: torch.Tensor,
    components: ComponentWeights,
    advantage: Advantage,
    combine: Combine,
    ranks: Ranks,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the estimates of all ranks, and the share of them that comes from rewards for accuracy.

    Args:
        scores: of this rank.
        joined: rewards of all ranks.
        components: the weights of the components in ``Score.filled``.
        advantage: the estimator.
        combine: whether rewards are summed before they are normalised or after.
        ranks: the ranks of the step.
    """
    weights = {name: weight for name, weight in components.weights.items() if weight}
    if combine == "sum_then_normalise" or len(weights) < 2:
        # fsum rounds once, as the rubric's sum does: an estimate of rewards for accuracy alone is all share.
        accurate = {name: weight for name, weight in weights.items() if name in components.accuracy}
        rewards = ranks.gather(_table(scores, partial(_total, accurate)))
        estimates = advantage(joined)
        accuracy = advantage.centred(rewards) / advantage.scale(joined)
    else:
        estimates, accuracy = torch.zeros_like(joined), torch.zeros_like(joined)
        for name, weight in weights.items():
            share = weight * advantage(ranks.gather(_table(scores, partial(_total, {name: 1.0}))))
            estimates += share
            accuracy += share * (name in components.accuracy)
        estimates = estimates.masked_fill(estimates.abs() < EQUAL, 0.0)  # or the scale blows up rounding
        scale = spread(estimates.flatten()) + EPS
        estimates, accuracy = estimates / scale, accuracy / scale
    # Rewards that cancel each other out leave no scale for the shares.
    return estimates, accuracy.masked_fill((estimates == 0).all(-1, keepdim=True), 0.0)


def _total(weights: Mapping[str, float], score: Score) -> float:
    """Return the weighted sum of some components of a score."""
    return math.fsum(weight * score.filled[name] for name, weight in weights.items())


def _weights(weighting: Weighting, batch: Estimated, joined: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """Return the weight of each completion as it enters, (P, G).

    Args:
        weighting: the weight of a group or completion.
        batch: of this rank.
        joined: rewards of all ranks.
        ranks: the ranks of the step.
    """
    permuted = weighting if isinstance(weighting, Permuted) else None
    weights_P_G = _given(weighting if permuted is None else permuted.weighting, batch)
    if weighting.normalise:
        weights_P_G = _normalised(weights_P_G, joined, ranks)
    if permuted is not None:
        live_P = ranks.gather(live(weights_P_G, batch))
        dealt = permuted.deal(ranks.gather(weights_P_G), live_P, batch.groups[0].sampling)
        weights_P_G = ranks.own(dealt, len(batch.groups))
    return weights_P_G


def _given(weighting: Weighting, batch: Estimated) -> torch.Tensor:
    """Return the weight that a weighting gives each completion, (P, G), checked."""
    weights = weighting(batch)
    shape = batch.rewards_P_G.shape
    if weights.shape not in (shape, shape[:1]):
        raise ValueError(
            f"{type(weighting).__name__} gave weights of shape {tuple(weights.shape)} for {shape[0]} groups "
            f"of {shape[1]} completions"
        )
    if not bool((weights >= 0).all() and weights.isfinite().all()):
        raise ValueError(
            f"{type(weighting).__name__} gave weights {weights.tolist()}; they must be finite and >= 0"
        )
    return (weights if weights.dim() == 2 else weights[:, None]).double().expand(shape).contiguous()


def _normalised(weights_P_G: torch.Tensor, joined: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """Divide weights by their mean over the completions of all groups whose rewards differ, where it is > 0.

    Args:
        weights_P_G: of this rank.
        joined: rewards of all ranks.
        ranks: the ranks of the step.
    """
    counted = ranks.gather(weights_P_G)[width(joined)[:, 0] > 0]
    mean = float(counted.mean()) if len(counted) else 0.0
    return weights_P_G / mean if mean > 0 else weights_P_G
