"""What a policy can do on held-out problems, overall and by level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchmetrics import Metric

from observer.types import Group, Score, Verdict

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
                    score.verdict is Verdict.UNVERIFIABLE,
                    score.timed_out,
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
