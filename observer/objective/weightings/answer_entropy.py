"""The entropy of a group's answers: prompts that the policy is unsure of weigh less."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.weightings.answers import alike, evenness
from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_unless
from observer.types import Estimated


@dataclass(frozen=True)
class AnswerEntropy(Weighting):
    """f = 1 - alpha H / log G, H the entropy of the group's answers: unsure prompts weigh less.

    A group of one answer weighs 1, a group of G different ones 1 - alpha. Answers are counted, each
    completion once, and told apart as said at ``observer.objective.weightings.answers.alike``. The paper
    clusters whole responses by meaning and adds up their probabilities. The opposite direction of
    ``AnswerDiversity``.

    Args:
        alpha: how much less a group weighs in which all answers differ, in (0, 1]. The paper's value is not
            known here.

    Reference:
        SEED-GRPO, arXiv 2505.12346, its linear form; **second hand**, from a review of the paper.

    Two answers of 2 completions each: H = log 2, half of log 4. Four different answers: H = log 4.

    >>> [round(AnswerEntropy(alpha=0.5).of(counts), 3) for counts in ([4], [2, 2], [1, 1, 1, 1])]
    [1.0, 0.75, 0.5]
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(
            0 < self.alpha <= 1, self, "alpha", "it must be in (0, 1] (Uniform switches weighting off)"
        )

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return 1 - alpha H / log G; see ``Weighting``."""
        return torch.tensor([self.of(alike(scores)) for scores in batch.scores], dtype=torch.float64)

    def of(self, counts: list[int]) -> float:
        """Return the weight of a group by how many of its completions give each answer."""
        return 1 - self.alpha * evenness(counts, sum(counts))
