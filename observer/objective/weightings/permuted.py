"""A control: the weights of another weighting, but not for the groups that it gave them to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_unless
from observer.seeding import stable_seed
from observer.types import Estimated, Sampling


@dataclass(frozen=True)
class Permuted(Weighting):
    """f = the weights of another weighting, dealt out anew at random among the groups with signal.

    The multiset of weights stays, and so do the groups that enter an update: those with a weight above 0 and
    an estimate or a bonus that is not 0. What is lost is that a weight belongs to a difficulty, so what the
    two runs differ in is the effect of who weighs how much, and not of the size of the step.

    Weights are normalised first, if at all, and then dealt out over the groups of all ranks, by a permutation
    that the run's seed and the step give. Where completions have weights of their own, a group gets all those
    of another in their order, which is that of sampling and says nothing. Dynamic sampling replaces the same
    groups as with the weighting itself, and weights are dealt out anew after each round.

    Args:
        weighting: whose weights are dealt out; its ``normalise`` and ``apply_to`` hold, or those given here.

    Reference: none; a permutation test of the weighting, run as a training.

    >>> weights_P_G = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    >>> live_P = torch.tensor([False, True, True, True])
    >>> from observer.objective import Quadratic
    >>> dealt_P_G = Permuted(Quadratic()).deal(weights_P_G, live_P, Sampling(seed=0, step=1))
    >>> dealt_P_G[0].tolist(), sorted(dealt_P_G[1:, 0].tolist())
    ([0.0, 0.0], [1.0, 2.0, 3.0])
    """

    weighting: Weighting

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = not isinstance(self.weighting, Permuted)
        refuse_unless(fits, self, "weighting", "it is dealt out already: name its weighting alone")
        # They are part of the weights that are dealt out, and whoever weighs reads them here.
        object.__setattr__(self, "normalise", self.normalise or self.weighting.normalise)
        if self.apply_to == "all":
            object.__setattr__(self, "apply_to", self.weighting.apply_to)

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return the weights dealt out among the groups of a batch; ``weigh`` does so over all ranks."""
        weights = self.weighting(batch)
        weights_P_G = weights if weights.dim() == 2 else weights[:, None].expand_as(batch.rewards_P_G)
        return self.deal(weights_P_G, live(weights_P_G, batch), batch.groups[0].sampling)

    def deal(self, weights_P_G: torch.Tensor, live_P: torch.Tensor, sampling: Sampling) -> torch.Tensor:
        """Return the weights of live groups in another order of these groups, (P, G).

        Args:
            weights_P_G: of all groups.
            live_P: which groups have signal, (P,), bool.
            sampling: how any of the groups was drawn; its seed and step are those of all.
        """
        places_N = live_P.nonzero()[:, 0]
        chance = torch.Generator().manual_seed(stable_seed(sampling.seed, "permuted", sampling.step))
        dealt_P_G = weights_P_G.clone()
        dealt_P_G[places_N] = weights_P_G[places_N[torch.randperm(len(places_N), generator=chance)]]
        return dealt_P_G


def live(weights_P_G: torch.Tensor, batch: Estimated) -> torch.Tensor:
    """Return which groups a weight has a say in: not all of what it multiplies is 0, nor is it, (P,), bool.

    Args:
        weights_P_G: before they are dealt out.
        batch: the groups.
    """
    bonus = [[score.bonus for score in row] for row in batch.scores]
    bonus_P_G = torch.tensor(bonus, dtype=torch.float64)
    return (weights_P_G * (batch.estimates_P_G + bonus_P_G)).ne(0).any(-1)
