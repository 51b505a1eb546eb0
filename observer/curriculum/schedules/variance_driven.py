"""A replay memory of the rows whose rewards varied."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import least_visited
from observer.seeding import stable_seed


@dataclass(frozen=True)
class VarianceDriven(Schedule):
    """New rows, and again those whose rewards varied (VCRL).

    A group with the pass rate p has the reward variance p (1 - p), at most 1/4; v = 4 p (1 - p) is its share
    of that. A memory holds the rows with the highest priority

        P <- v when a row comes in, P <- momentum P + (1 - momentum) v when it is drawn again,

    and drops a row when P falls below ``threshold`` or when ``capacity`` rows have a higher one. A step draws
    up to the share ``replay`` of its rows from the memory, at random in proportion to P, and the others from
    the least visited rows. ``by`` and the horizon are not used.

    Reference: VCRL, arXiv 2509.19803. The normalised variance was checked in a summary of the paper; memory,
    momentum and threshold were not checked in the paper itself. The paper replaces rows without variance
    within the same step; a schedule draws before the step, so the share is fixed beforehand.

    Args:
        replay: share of a step that may come from the memory, 0 .. 1.
        threshold: least P, above 0, at most 1.
        momentum: of P, 0 .. 1.
        capacity: rows that the memory holds, at least 1.

    >>> from observer.curriculum import LadderIndex
    >>> index = LadderIndex([0.5] * 4, [1.0] * 4, [0] * 4)
    >>> driven = VarianceDriven(momentum=0.5)
    >>> request = DrawRequest(index, step=0, count=3, horizon=9, seed=0)
    >>> index.memory = driven.memory_after(request, [0, 1, 2], [0.5, 1.0, 0.75])  # v = 1, 0 and .75
    >>> index.memory["rows"].tolist(), index.memory["priorities"].tolist()
    ([0, 2], [1.0, 0.75])
    >>> index.memory = driven.memory_after(request, [2, 0], [0.75, 1.0])  # .5 x 1 + .5 x 0 for row 0
    >>> index.memory["rows"].tolist(), index.memory["priorities"].tolist()
    ([2, 0], [0.75, 0.5])
    """

    replay: float = 0.5
    threshold: float = 0.3
    momentum: float = 0.9
    capacity: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, replay=(0, 1), threshold=(1e-9, 1), momentum=(0, 1), capacity=(1, 1e6))

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows, some of them from the memory, shuffled."""
        index, count = request.index, request.count
        chance = random.Random(stable_seed(request.seed, "variance", request.step))
        again = self._remembered(index.memory, int(self.replay * count), chance)
        taken = set(again)
        least = least_visited(index.visits_R.numpy(), min(count + len(again), len(index)), chance)
        new = [row for row in least.tolist() if row not in taken][: count - len(again)]
        rows = again + new
        chance.shuffle(rows)  # so that ranks get similar shares
        return rows

    def _remembered(self, memory: dict[str, Any], count: int, chance: random.Random) -> list[int]:
        """Draw without replacement in proportion to P: the greatest u^(1 / P), u uniform."""
        if not memory:
            return []
        priorities_N = memory["priorities"]
        if not bool(((priorities_N > 0) & (priorities_N <= 1)).all()):  # as no run has saved them
            raise ValueError("memory's priorities are not in 0 .. 1")
        pairs = zip(memory["rows"].tolist(), memory["priorities"].tolist(), strict=True)
        keys = [(-(chance.random() ** (1 / priority)), row) for row, priority in pairs]
        return [row for _, row in sorted(keys)[:count]]

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return the rows with the highest priorities, and these, greatest first."""
        memory, known = request.index.memory, dict[int, float]()
        if memory:
            known = dict(zip(memory["rows"].tolist(), memory["priorities"].tolist(), strict=True))
        for row, rate in zip(rows, pass_rates, strict=True):
            varies, old = 4 * rate * (1 - rate), known.pop(row, None)
            priority = varies if old is None else self.momentum * old + (1 - self.momentum) * varies
            if priority >= self.threshold:
                known[row] = priority
        best = sorted(known.items(), key=lambda item: (-item[1], item[0]))[: self.capacity]
        return {
            "rows": torch.tensor([row for row, _ in best], dtype=torch.int64),
            "priorities": torch.tensor([priority for _, priority in best], dtype=torch.float64),
        }
