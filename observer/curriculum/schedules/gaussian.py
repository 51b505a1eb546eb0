"""A Gaussian window that moves from easy to hard and lets easy rows fade."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import counts_by_share, deal_passes, permutation, shuffled, spread_offsets
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class Gaussian(Schedule):
    """A Gaussian window over the ranked ladder whose centre moves from easy to hard (E2H-G).

    The ladder, sorted ``by``, is cut into K equal tasks, 0 the easiest. In step t of T, task k gets the share

        floor + (1 - K floor) exp(-(k - mu)^2 / (2 sigma^2)) / sum_j exp(-(j - mu)^2 / (2 sigma^2)),
        mu = (t / T)^beta (K - 1).

    With beta below 1 the centre moves fast at first; sigma is in tasks. Beyond the horizon t stays at T.
    Within a task, rows are dealt from seeded passes.

    Reference: E2H Reasoner, arXiv 2506.06632. Formula and defaults of beta and sigma were checked in its
    authors' code, whose tasks are the data set's own levels of difficulty.

    Args:
        tasks: K, at least 2.
        beta: exponent of t / T, above 0.
        sigma: width of the window in tasks, above 0.
        floor: least share of every task, 0 .. 1 / K.

    >>> [[round(float(share), 3) for share in Gaussian(tasks=3).shares(t, t + 1, 4)[0]] for t in (0, 1, 4)]
    [[0.881, 0.119, 0.0], [0.107, 0.787, 0.107], [0.0, 0.119, 0.881]]
    """

    tasks: int = 8
    beta: float = 0.5
    sigma: float = 0.5
    floor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(
            self, tasks=(2, math.inf), beta=(1e-9, 1e9), sigma=(0.01, 1e9), floor=(0, 1 / self.tasks)
        )

    def shares(self, begin: int, end: int, horizon: int) -> numpy.ndarray:
        """Return the shares of the tasks in the steps from ``begin`` to ``end``, (T, K)."""
        time_T = numpy.minimum(numpy.arange(begin, end), horizon) / horizon
        centre_T = time_T**self.beta * (self.tasks - 1)
        away_T_K = numpy.arange(self.tasks) - centre_T[:, None]
        weight_T_K = numpy.exp(-(away_T_K**2) / (2 * self.sigma**2))
        share_T_K: numpy.ndarray = weight_T_K / weight_T_K.sum(axis=1, keepdims=True)
        share_T_K *= 1 - self.tasks * self.floor
        share_T_K += self.floor
        return share_T_K

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows in the step's shares of the tasks, shuffled."""
        step, count, horizon, seed = request.step, request.count, request.horizon, request.seed
        order_R = request.index.order(self.by).numpy()
        parts = [
            order_R[k * len(order_R) // self.tasks : (k + 1) * len(order_R) // self.tasks]
            for k in range(self.tasks)
        ]
        shares_T_K = self.shares(0, max(step, horizon) + 1, horizon)
        most = math.ceil(count * float(shares_T_K.max()))
        if most > len(order_R) // self.tasks:
            raise RefusedError(
                f"Gaussian draws up to {most} of {count} rows from one of {self.tasks} tasks, which has "
                f"{len(order_R) // self.tasks}; lower the prompts of a step or Gaussian.tasks, or add rows"
            )
        offsets_T = spread_offsets(stable_seed(seed, "gaussian offset"), 0, step + 1)
        counts_T_K = counts_by_share(shares_T_K[: step + 1], count, offsets_T)
        rows: list[int] = []
        for task in numpy.flatnonzero(counts_T_K[step]).tolist():
            number_T, begin_T = deal_passes(counts_T_K[:, task], len(parts[task]))
            seed_of_pass = stable_seed(seed, "gaussian", task, int(number_T[-1]))
            order = permutation(seed_of_pass, len(parts[task])).numpy()
            rows += parts[task][order[begin_T[-1] : begin_T[-1] + counts_T_K[step, task]]].tolist()
        return shuffled(rows, stable_seed(seed, "gaussian shuffle", step))  # so that ranks get similar shares
