"""Medium difficulty times diverse answers: groups that are unsure in more than one way weigh most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from observer.objective.weightings.answers import alike, distinct, evenness
from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_fields, refuse_unknown
from observer.types import Estimated, Group, Score

Diversity = Literal["distinct", "entropy"]


@dataclass(frozen=True)
class AnswerDiversity(Weighting):
    """f = 4 sigma d (1 - d) D^gamma: medium difficulty and answers that differ weigh most.

    d is the mean reward for correctness, here the share of correct verdicts. D in [0, 1] says how much the
    answers of the group differ:

    - ``distinct``: (M - 1) / (G - 1) for M different answers among G completions (the paper's jigsaws)
    - ``entropy``: the entropy of the answers over log K, at most 1, for K options (the paper's choices). K is
      the number of options of the problem; where it lists none, G

    How answers are told apart is said at ``observer.objective.weightings.answers.alike``; the paper does not
    say what an unreadable answer counts as. With ``gamma`` 0 this is ``Quadratic``. The opposite direction of
    ``AnswerEntropy``.

    Args:
        sigma: the largest weight, > 0 and finite; 1 in the paper (its lambda of 4 is 4 sigma).
        gamma: how much diversity counts, >= 0 and finite; .5 in the paper.
        diversity: ``distinct`` or ``entropy``.

    Reference:
        PuzzleCraft, arXiv 2512.14944, equation 1 of version 2.

    Half right, and 2 different answers among 5 completions, so D = 1 / 4; the same with 5 different ones:

    >>> half_P = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> AnswerDiversity().of(half_P, torch.tensor([distinct([3, 2]), distinct([1] * 5)])).tolist()
    [0.5, 1.0]
    """

    sigma: float = 1.0
    gamma: float = 0.5
    diversity: Diversity = "distinct"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_fields(self, "sigma", above=0)
        refuse_fields(self, "gamma", least=0)
        refuse_unknown(self, "diversity", Diversity)

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return 4 sigma d (1 - d) D^gamma; see ``Weighting``."""
        rows = zip(batch.groups, batch.scores, strict=True)
        diversities = [self._diversity(group, scores) for group, scores in rows]
        return self.of(batch.pass_rates_P, torch.tensor(diversities, dtype=torch.float64))

    def of(self, pass_rates_P: torch.Tensor, diversities_P: torch.Tensor) -> torch.Tensor:
        """Return the weight of a pass rate and a diversity, (P,)."""
        return 4 * self.sigma * pass_rates_P * (1 - pass_rates_P) * diversities_P**self.gamma

    def _diversity(self, group: Group, scores: tuple[Score, ...]) -> float:
        counts = alike(scores)
        if self.diversity == "distinct":
            return distinct(counts)
        return evenness(counts, len(group.problem.options) or len(scores))
