"""A bandit over the sources of rows: more rows from those with a high learning signal or few draws."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import counts_by_share, fit, least_visited, spread_offsets
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed


@dataclass(frozen=True)
class SourceUCB(Schedule):
    """Sources by an upper confidence bound of their learning signal (DUMP).

    Each source s gets the share softmax_s(UCB_s / temperature) of the batch, rounded so that shares are kept
    over the steps,

        UCB_s = L_s + exploration sqrt(2 ln(n + 1) / (n_s + 1)),

    n_s the rows drawn from it so far, n those of all, L_s the mean |advantage| of its last ``window`` rows.
    The paper measures advantages; a schedule gets pass rates. With rewards 0 and 1, group-normalised
    advantages have the mean absolute value 2 sqrt(p (1 - p)), which is used here. A source with too few rows
    gives all of them, and the sources with the highest bounds fill up. Within a source the least visited rows
    come first, in random order. ``by`` and the horizon are not used.

    Reference: DUMP, arXiv 2504.09710; bound, window and softmax were checked in its authors' README.

    Args:
        window: the last rows of a source that enter L_s, at least 1.
        exploration: weight of the second term, at least 0; the paper's is 1.
        temperature: of the softmax, above 0; the paper's is .1.

    >>> index = LadderIndex([0.5] * 4, [1.0] * 4, [0] * 4, [0, 0, 1, 1], ["charts", "maps"])
    >>> bandit = SourceUCB()
    >>> request = DrawRequest(index, step=0, count=2, horizon=9, seed=0)
    >>> memory = bandit.memory_after(request, [0, 2], [1.0, 0.5])
    >>> [round(bound, 3) for bound in bandit.bounds(index, memory)]  # 0 and 1, each + sqrt(2 ln(3) / 2)
    [1.048, 2.048]
    """

    window: int = 300
    exploration: float = 1.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, window=(1, math.inf), exploration=(0, 1e9), temperature=(1e-3, 1e9))

    def bounds(self, index: LadderIndex, memory: dict[str, Any]) -> list[float]:
        """Return the bound of each source that has rows, in ascending order of the sources."""
        drawn, recent = memory.get("drawn", {}), memory.get("recent", {})
        total = sum(drawn.values())
        bounds = []
        for source in index.rows_by_source:
            teaches = float(recent[source].mean()) if source in recent else 0.0
            bonus = math.sqrt(2 * math.log(total + 1) / (drawn.get(source, 0) + 1))
            bounds.append(teaches + self.exploration * bonus)
        return bounds

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows in the sources' shares, shuffled."""
        bounds = numpy.array(self.bounds(request.index, request.index.memory))
        weights = numpy.exp((bounds - bounds.max()) / self.temperature)
        offset_T = spread_offsets(stable_seed(request.seed, "source offset"), request.step, request.step + 1)
        wanted = counts_by_share(weights[None], request.count, offset_T)[0].tolist()
        sources = list(request.index.rows_by_source.values())
        best_first = numpy.argsort(-bounds, kind="stable").tolist()
        counts = fit(wanted, [len(rows) for rows in sources], best_first)
        chance = random.Random(stable_seed(request.seed, "sources", request.step))
        rows: list[int] = []
        for of_source, wants in zip(sources, counts, strict=True):
            rows += least_visited(request.index.visits_R.numpy(), wants, chance, of_source.numpy()).tolist()
        chance.shuffle(rows)  # so that ranks get similar shares
        return rows

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return rows drawn and the last mean absolute advantages, by source."""
        memory = request.index.memory
        drawn, recent = dict(memory.get("drawn", {})), dict(memory.get("recent", {}))
        taught: dict[int, list[float]] = {}
        for row, rate in zip(rows, pass_rates, strict=True):
            taught.setdefault(int(request.index.source_R[row]), []).append(2 * math.sqrt(rate * (1 - rate)))
        for source, values in taught.items():
            drawn[source] = drawn.get(source, 0) + len(values)
            new = torch.tensor(values, dtype=torch.float64)
            known = torch.cat([recent[source], new]) if source in recent else new
            recent[source] = known[-self.window :].clone()
        return {"drawn": drawn, "recent": recent}
