"""What a rollout showed, and what a policy can do on held-out problems, overall and by level."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torchmetrics import Metric

from observer.types import Experience, Group, Score, Verdict
from observer.verifier.verifier import TIMED_OUT


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
        "unverifiable": mean([_unverifiable(score) for score in scores]),
        "timed_out": mean([timed_out(score) for score in scores]),
        "length": mean([len(completion.ids) for completion in completions]),
        "truncated": mean([not completion.finished for completion in completions]),
        "advantage_abs": float(experience.advantages_P_G.abs().mean()),
        "weight": float(experience.weights_P_G.mean()),
        "zero_signal": float(experience.silent_P.double().mean()),
    }


def part_means(
    experience: Experience, over_ranks: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, float]:
    """Return ``part_<name>``: the mean of each reward over the completions of all ranks that it applies to.

    One that applies to none has no mean and is left out.

    Args:
        experience: of this rank.
        over_ranks: joins equally large tensors of all ranks on the first dimension.
    """
    scores = [score for row in experience.scores for score in row]
    parts = [[math.nan if part is None else part for part in score.parts.values()] for score in scores]
    means = over_ranks(torch.tensor(parts, dtype=torch.float64)).nanmean(0).tolist()
    named = zip(scores[0].parts, means, strict=True)
    return {f"part_{name}": value for name, value in named if not math.isnan(value)}


def _unverifiable(score: Score) -> bool:
    return score.verdict is Verdict.UNVERIFIABLE


def timed_out(score: Score) -> bool:
    """Say whether an answer was not checked in time."""
    return _unverifiable(score) and score.reason.startswith(TIMED_OUT)


LEVELS = 64
"""Levels that held-out figures are broken down by: 0 .. LEVELS - 1."""


class HeldOutMetrics(Metric):
    """Means over completions: accuracy, format, truncation, length, unverifiable answers; accuracy by level.

    Sums are kept by level and added up over ranks, so every rank computes the same figures.
    """

    full_state_update = False
    sums_L_7: torch.Tensor

    def __init__(self, levels: int = LEVELS) -> None:
        """Make room for levels 0 .. levels - 1."""
        super().__init__()
        # Columns: completions, correct, formatted, cut off, tokens, unverifiable, timed out.
        self.add_state("sums_L_7", torch.zeros(levels, 7, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> None:
        """Count groups of completions and their scores."""
        for group, row in zip(groups, scores, strict=True):
            for completion, score in zip(group.completions, row, strict=True):
                counts_7 = (
                    1,
                    score.correct,
                    score.formatted,
                    not completion.finished,
                    len(completion.ids),
                    _unverifiable(score),
                    timed_out(score),
                )
                self.sums_L_7[group.problem.level] += torch.tensor(
                    counts_7, dtype=torch.float64, device=self.sums_L_7.device
                )

    def compute(self) -> dict[str, torch.Tensor]:
        """Return problems and, of them, the means; ``level_<k>`` is the accuracy of a level."""
        total_7 = self.sums_L_7.sum(0)
        count = total_7[0].clamp(min=1)
        figures = {
            "problems": total_7[0],
            "accuracy": total_7[1] / count,
            "format": total_7[2] / count,
            "truncated": total_7[3] / count,
            "length": total_7[4] / count,
            "unverifiable": total_7[5] / count,
            "timed_out": total_7[6] / count,
        }
        for level in self.sums_L_7[:, 0].nonzero()[:, 0].tolist():
            figures[f"level_{level}"] = self.sums_L_7[level, 1] / self.sums_L_7[level, 0]
        return {name: value.float() for name, value in figures.items()}
