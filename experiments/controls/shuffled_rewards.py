"""A control: rewards that have nothing to do with the responses they are given to."""

import torch

from observer.learner import ObserveLearner
from observer.seeding import stable_seed


class ShuffledRewards(ObserveLearner):
    """Deals the scores of a rollout out anew among all its completions.

    Every score is still given once, so rewards have the same distribution; what they say of a response is
    noise. A gain with them is a gain from something other than the rewards.
    """

    def score(self, groups, step):
        """Return the scores of ``ObserveLearner`` in an order drawn from (seed, step)."""
        rows = super().score(groups, step)
        flat = [score for row in rows for score in row]
        generator = torch.Generator().manual_seed(stable_seed(self.sampling.seed, "shuffled rewards", step))
        order = torch.randperm(len(flat), generator=generator).tolist()
        size = len(rows[0])
        return [tuple(flat[i] for i in order[first : first + size]) for first in range(0, len(flat), size)]
