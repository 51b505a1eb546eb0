"""Held-out evaluation: greedy and sampled answers, measured alike in validation, test and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from observer.answering import Answerer
from observer.metrics import HeldOutMetrics
from observer.types import Problem, Sampling

GREEDY_STEP, SAMPLED_STEP = -1, -2
"""Steps in the seeds of held-out evaluation: the same draws each time, and none of training's."""


class HeldOut:
    """One evaluation: answers problems once greedily and once at temperature 1, and counts both."""

    def __init__(self, answerer: Answerer, sampling: Sampling, device: torch.device) -> None:
        """Start with all counts at 0.

        Args:
            answerer: answers, with weights that are up to date.
            sampling: the run's; its group size, temperature and step are not used.
            device: where the ranks exchange their counts.
        """
        self._answerer = answerer
        self._samplings = (
            replace(sampling, group_size=1, temperature=0.0, step=GREEDY_STEP),
            replace(sampling, group_size=1, temperature=1.0, step=SAMPLED_STEP),
        )
        self._greedy, self._sampled = HeldOutMetrics().to(device), HeldOutMetrics().to(device)

    def count(self, problems: Sequence[Problem]) -> None:
        """Answer problems and count the correct, formatted, cut-off answers; see ``HeldOutMetrics``."""
        answers = self._answerer.answer(problems, *self._samplings)
        for metrics, scored in zip((self._greedy, self._sampled), answers, strict=True):
            metrics.update(scored.groups, scored.scores)

    def figures(self) -> dict[str, float]:
        """Return the figures over all ranks: of greedy answers, and as ``sampled_..`` of sampled ones."""
        figures = {name: float(value) for name, value in self._greedy.compute().items()}
        return figures | {f"sampled_{name}": float(value) for name, value in self._sampled.compute().items()}
