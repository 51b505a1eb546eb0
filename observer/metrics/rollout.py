"""Figures of a rollout, means over its completions and groups, and of the update that learned from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from observer.types import Experience, Verdict


def rollout_figures(experience: Experience) -> dict[str, float]:
    """Return the means of a rollout: reward, accuracy, format rate, lengths, weights.

    ``zero_signal`` is the share of groups whose advantages are all 0: they teach nothing. ``unverifiable`` is
    the share of answers that no rule could check, ``timed_out`` of those that were not checked in time.
    """
    scores = [score for row in experience.scores for score in row]
    completions = [completion for group in experience.groups for completion in group.completions]

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    return {
        "reward": mean([score.reward for score in scores]),
        "accuracy": mean([score.correct for score in scores]),
        "format": mean([score.formatted for score in scores]),
        "unverifiable": mean([score.verdict is Verdict.UNVERIFIABLE for score in scores]),
        "timed_out": mean([score.timed_out for score in scores]),
        "length": mean([len(completion.ids) for completion in completions]),
        "truncated": mean([not completion.finished for completion in completions]),
        "advantage_abs": float(experience.advantages_P_G.abs().mean()),
        "weight": float(experience.weights_P_G.mean()),
        "zero_signal": float(experience.silent_P.double().mean()),
    }


def update_figures(
    names: Sequence[str],
    totals: torch.Tensor,
    norms: Sequence[dict[str, float]],
    reduce: Callable[[dict[str, float], Literal["sum"]], dict[str, float]],
) -> dict[str, float]:
    """Return the figures of an update: means over the tokens that entered, and over its optimizer steps.

    Args:
        names: of the totals; the first counts the tokens.
        totals: sums over the tokens of this rank.
        norms: ``gradient_norm`` and ``update_norm`` of each optimizer step.
        reduce: adds up over ranks; a collective.
    """
    sums = reduce(dict(zip(names, totals.tolist(), strict=True)), "sum")
    tokens = sums.pop("tokens")
    means = {name: value / tokens for name, value in sums.items()} if tokens else {}
    return means | {name: sum(norm[name] for norm in norms) / len(norms) for name in norms[0]}


def component_means(
    experience: Experience, over_ranks: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, float]:
    """Return the mean of each component, by its name, over the completions of all ranks that it applies to.

    A component that applies to none has no mean and is left out.

    Args:
        experience: of this rank.
        over_ranks: joins equally large tensors of all ranks on the first dimension.
    """
    scores = [score for row in experience.scores for score in row]
    values_N_K = torch.tensor(
        [[math.nan if value is None else value for value in score.components.values()] for score in scores],
        dtype=torch.float64,
    )
    means = over_ranks(values_N_K).nanmean(0).tolist()
    named = zip(scores[0].components, means, strict=True)
    return {name: value for name, value in named if not math.isnan(value)}
