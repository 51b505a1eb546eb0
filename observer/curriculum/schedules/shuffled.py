"""A control: the rows of another schedule in random order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.rehearsal import rehearsed
from observer.refusal import refuse_unknown
from observer.seeding import stable_seed

Unit = Literal["row", "batch"]


@dataclass(frozen=True)
class Shuffled(Schedule):
    """Another schedule's rows, as often as it draws them, in random order: composition without order.

    The draws of the horizon are made beforehand. By ``row`` all their rows are dealt anew into batches of
    distinct rows, by ``batch`` whole batches change places. With the same seed, a run of the horizon's length
    draws the same rows as often as one of the schedule itself: what the two differ in is the effect of the
    order, and what ``Shuffled`` and ``Random`` differ in is that of the composition. Dealing anew is always
    possible, since no step draws a row twice. Beyond the horizon, each further block of as many steps is
    shuffled likewise.

    The horizon is that of ``Shuffled``, or the run's, which is what a control needs; the schedule may have a
    shorter one of its own. ``by`` is the schedule's own. There are no stages. A schedule that goes by pass
    rates or memory has no rows before it has run and is refused at the first draw. Its own visits are known
    beforehand, so ``AtMost`` is not. With dynamic sampling, the rows of each round come from draws of the
    horizon that are shuffled for that round.

    The first draw takes as long as all draws of the schedule over the horizon. They are kept, at 8 bytes per
    row drawn and per row of the ladder. 10,000 steps of 128 out of a million rows take 73 s of a core with
    NeuraLadder and 5 s with Random.

    Reference: none for the control. Rows are dealt by global curveball trades, Carstens, Berger and Strona,
    arXiv 1609.05137.

    Args:
        schedule: whose rows are shuffled.
        unit: what changes places: ``row`` or ``batch``.

    >>> from observer.curriculum import LadderIndex, Sorted
    >>> index = LadderIndex([0.0, 0.25, 0.5, 0.75] * 2, [1.0] * 8, [0] * 8)
    >>> requests = [DrawRequest(index, step, count=2, horizon=4, seed=0) for step in range(4)]
    >>> batches = [Shuffled(Sorted(), unit="batch").batch(request) for request in requests]
    >>> sorted(index.difficulty_R[rows].tolist() for rows in batches)
    [[0.0, 0.0], [0.25, 0.25], [0.5, 0.5], [0.75, 0.75]]
    """

    schedule: Schedule
    unit: Unit = "row"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unknown(self, "unit", Unit)

    def draw(self, request: DrawRequest) -> list[int]:
        """Return the rows that the step has in its shuffled block of the horizon's length.

        Raises:
            RefusedError: the schedule goes by pass rates or memory, or cannot draw for a step of the block.
        """
        block, place = divmod(request.step, request.horizon)
        course = rehearsed(self.schedule, request, "Shuffled.schedule")

        def make() -> torch.Tensor:
            batches_T_N = course.batches(block * request.horizon, (block + 1) * request.horizon)
            seed = stable_seed(request.seed, "shuffled", self.unit, block)
            if self.unit == "row":
                return dealt_anew(batches_T_N, seed)
            chance = torch.Generator().manual_seed(seed)
            return batches_T_N[torch.randperm(len(batches_T_N), generator=chance)]

        rows: list[int] = course.once((self.unit, block), make)[place].tolist()
        return rows


def dealt_anew(batches_T_N: torch.Tensor, seed: int) -> torch.Tensor:
    """Deal the rows of batches anew: each as often as before, in batches of distinct rows, in random order.

    In every round random pairs of batches trade: a row that both have stays in both, and the others are dealt
    out between the two at random. A round halves what the batch of a row still says about where it was; there
    are twice as many as it takes to reach every batch, and 8 more.

    Args:
        batches_T_N: batches of distinct rows, (T, N), integers.
        seed: seed of the trades.

    Returns:
        (T, N), of the same dtype.

    >>> dealt = dealt_anew(torch.tensor([[0, 1, 2], [0, 1, 3]]), seed=0)
    >>> sorted(sorted(rows) for rows in dealt.tolist())  # 0 and 1 twice, in both
    [[0, 1, 2], [0, 1, 3]]
    """
    chance = torch.Generator().manual_seed(seed)
    steps, batches_T_N = len(batches_T_N), batches_T_N.clone()
    for _ in range(2 * steps.bit_length() + 8):
        pairs_2_P = torch.randperm(steps, generator=chance)[: steps // 2 * 2].view(2, -1)
        both_P_2N = torch.cat([batches_T_N[side_P] for side_P in pairs_2_P], dim=1).sort(dim=1).values
        places_P_2N = torch.rand(both_P_2N.shape, generator=chance)
        twice = both_P_2N[:, 1:] == both_P_2N[:, :-1]
        places_P_2N[:, :-1][twice] = -1.0  # one of the two comes first,
        places_P_2N[:, 1:][twice] = 2.0  # the other last
        both_P_2N = both_P_2N.gather(1, places_P_2N.argsort(dim=1, stable=True))
        for side_P, dealt_P_N in zip(pairs_2_P, both_P_2N.tensor_split(2, dim=1), strict=True):
            batches_T_N[side_P] = dealt_P_N
    return batches_T_N.gather(1, torch.rand(batches_T_N.shape, generator=chance).argsort(dim=1, stable=True))
