"""Figures of answers to held-out problems, overall and by level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchmetrics import Metric

from observer.types import Group, Score, Verdict

LEVELS = 64
"""Levels that held-out figures are broken down by: 0 .. LEVELS - 1."""


class HeldOutMetrics(Metric):
    """Means over completions: accuracy, format, truncation, length, unverifiable answers; accuracy by level.

    Counts are kept by level and added up over ranks, so every rank computes the same figures.
    """

    full_state_update = False
    completions_L: torch.Tensor
    correct_L: torch.Tensor
    formatted_L: torch.Tensor
    truncated_L: torch.Tensor
    tokens_L: torch.Tensor
    unverifiable_L: torch.Tensor
    timed_out_L: torch.Tensor

    def __init__(self, levels: int = LEVELS, samples: int = 1) -> None:
        """Make room.

        Args:
            levels: levels that are counted, 0 .. levels - 1.
            samples: completions per problem.
        """
        super().__init__()
        self.samples = samples
        for name in (
            *("completions_L", "correct_L", "formatted_L", "truncated_L"),
            *("tokens_L", "unverifiable_L", "timed_out_L"),
        ):
            self.add_state(name, torch.zeros(levels, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> None:
        """Count groups of completions and their scores."""
        scored = [
            (group.problem.level, completion, score)
            for group, row in zip(groups, scores, strict=True)
            for completion, score in zip(group.completions, row, strict=True)
        ]
        device = self.completions_L.device
        levels_N = torch.tensor([level for level, _, _ in scored], dtype=torch.int64, device=device)
        for count_L, values in (
            (self.completions_L, [1 for _ in scored]),
            (self.correct_L, [score.correct for _, _, score in scored]),
            (self.formatted_L, [score.formatted for _, _, score in scored]),
            (self.truncated_L, [not completion.finished for _, completion, _ in scored]),
            (self.tokens_L, [len(completion.ids) for _, completion, _ in scored]),
            (self.unverifiable_L, [score.verdict is Verdict.UNVERIFIABLE for _, _, score in scored]),
            (self.timed_out_L, [score.timed_out for _, _, score in scored]),
        ):
            count_L.index_add_(0, levels_N, torch.tensor(values, dtype=torch.float64, device=device))

    def compute(self) -> dict[str, torch.Tensor]:
        """Return problems and, of them, the means; ``level_<k>`` is the accuracy of a level."""
        completions = self.completions_L.sum()
        figures = {"problems": completions / self.samples}
        for name, count_L in (
            ("accuracy", self.correct_L),
            ("format", self.formatted_L),
            ("truncated", self.truncated_L),
            ("length", self.tokens_L),
            ("unverifiable", self.unverifiable_L),
            ("timed_out", self.timed_out_L),
        ):
            figures[name] = count_L.sum() / completions.clamp(min=1)
        for level in self.completions_L.nonzero()[:, 0].tolist():
            figures[f"level_{level}"] = self.correct_L[level] / self.completions_L[level]
        return {name: value.float() for name, value in figures.items()}
