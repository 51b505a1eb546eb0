"""A curriculum in stages: the share of the batch per level, and for how many steps."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import ONE, deal_passes, permutation, spread_offsets
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class Stage:
    """A number of steps with fixed shares of the levels.

    Args:
        steps: how many steps, at least 1; null, in the last stage, for all that follow.
        levels: level -> its share; shares are relative to their sum. Levels that are not named are not drawn.
    """

    steps: int | None
    levels: dict[int, float]

    def __post_init__(self) -> None:
        check_options(self, hint=", or null in the last stage", steps=(1, math.inf))
        wrong = {
            level: share for level, share in self.levels.items() if not (math.isfinite(share) and share >= 0)
        }
        if wrong or not any(self.levels.values()):
            raise RefusedError(f"a stage's levels = {self.levels}; shares must be finite, >= 0 and not all 0")

    def quotas(self, count: int) -> dict[int, Fraction]:
        """Return the exact number of ``count`` rows per level, as fractions; levels in ascending order."""
        shares = {level: Fraction(str(share)) for level, share in sorted(self.levels.items())}  # 0.7 is 7/10
        total = sum(shares.values())
        return {level: count * share / total for level, share in shares.items() if share}


@dataclass(frozen=True)
class Stages(Schedule):
    """Fixed shares of the levels per stage, such as easy levels first and then all of them.

    In every step a level of share w gets count w / sum(w) rows, rounded up or down so that they sum to
    ``count`` (systematic sampling: the boundaries between the levels are shifted by an offset that the seed
    starts and that is spread evenly over the steps). So a level whose quota is below one row is drawn in some
    steps, and shares are kept over the steps. Within a level, rows are drawn without replacement in seeded
    passes that continue from stage to stage; a pass ends before the first step for which too few of its rows
    are left. ``by`` and the horizon are not used: stages name levels and steps, and the last one has no end.

    A policy that only sees the present level forgets earlier ones. Name them in later stages, or set
    ``replay``: that share of every batch goes equally to the levels of earlier stages that the stage does not
    name.

    Args:
        stages: in their order. All but the last need ``steps``; the last must have none.
        replay: share of a batch, 0 .. 0.9, for levels of earlier stages.

    >>> index = LadderIndex([0.1, 0.1, 0.9, 0.9], [0.0] * 4, [1, 1, 2, 2])
    >>> warm = Stages([Stage(steps=1, levels={1: 1.0}), Stage(steps=None, levels={1: 1.0, 2: 1.0})])
    >>> first, second = (DrawRequest(index, step, count=2, horizon=9, seed=0) for step in range(2))
    >>> sorted(warm.batch(first))
    [0, 1]
    >>> sorted(index.level_R[warm.batch(second)].tolist())
    [1, 2]
    >>> strict = Stages([Stage(1, {1: 1.0}), Stage(None, {2: 1.0})], replay=0.25)
    >>> strict.quotas(1, 8)
    {1: Fraction(2, 1), 2: Fraction(6, 1)}
    """

    stages: list[Stage]
    replay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, replay=(0, 0.9))
        if not self.stages:
            raise RefusedError("stages = []; at least one stage is needed")
        steps = [stage.steps for stage in self.stages]
        if None in steps[:-1] or steps[-1] is not None:
            raise RefusedError(
                f"the stages' steps = {steps}; all but the last need a number, the last must be null"
            )

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows in the shares of the step's stage, shuffled."""
        self._check_levels(request.index, request.count)
        rows: list[int] = []
        for level, counts_T in self._counts(request.step + 1, request.count, request.seed).items():
            of_level = request.index.rows_by_level[level]
            number_T, begin_T = deal_passes(counts_T, len(of_level))
            order = permutation(stable_seed(request.seed, "stages", level, int(number_T[-1])), len(of_level))
            rows += of_level[order[begin_T[-1] : begin_T[-1] + counts_T[-1]]].tolist()
        chance = random.Random(stable_seed(request.seed, "stages shuffle", request.step))
        chance.shuffle(rows)  # so that ranks get similar shares
        return rows

    def stage(self, request: DrawRequest) -> str:
        """Return the number of the stage, from 1."""
        step, number = request.step, 0
        while (steps := self.stages[number].steps) is not None and step >= steps:
            step, number = step - steps, number + 1
        return f"stage {number + 1} of {len(self.stages)}"

    def quotas(self, number: int, count: int) -> dict[int, Fraction]:
        """Return the exact number of ``count`` rows per level in a stage (from 0), replay included."""
        own = self.stages[number].quotas(count)
        named = {level for stage in self.stages[:number] for level, share in stage.levels.items() if share}
        if not self.replay or not (earlier := named - set(own)):
            return own
        replay = Fraction(str(self.replay))
        quotas = {level: quota * (1 - replay) for level, quota in own.items()}
        quotas |= {level: count * replay / len(earlier) for level in earlier}
        return dict(sorted(quotas.items()))

    def _check_levels(self, index: LadderIndex, count: int) -> None:
        sizes = {level: len(rows) for level, rows in index.rows_by_level.items()}
        for number, stage in enumerate(self.stages, start=1):
            if missing := sorted(set(stage.levels) - set(sizes)):
                raise RefusedError(
                    f"stage {number} names the levels {missing}; the ladder has {sorted(sizes)}"
                )
            for level, quota in self.quotas(number - 1, count).items():
                if math.ceil(quota) > sizes[level]:
                    raise RefusedError(
                        f"stage {number} draws up to {math.ceil(quota)} of {count} rows from level {level}, "
                        f"which has {sizes[level]}; lower its share or the prompts of a step, or add rows"
                    )

    def _counts(self, steps: int, count: int, seed: int) -> dict[int, numpy.ndarray]:
        """Return, for each level, how many rows each of the first ``steps`` steps draws, (steps,), int64."""
        offsets_T = spread_offsets(stable_seed(seed, "stages offset"), 0, steps)
        levels = sorted({level for stage in self.stages for level, share in stage.levels.items() if share})
        counts = {level: numpy.zeros(steps, dtype=numpy.int64) for level in levels}
        begin = 0
        for number, stage in enumerate(self.stages):
            end = steps if stage.steps is None else min(begin + stage.steps, steps)
            for level, counts_T in apportion(self.quotas(number, count), offsets_T[begin:end]).items():
                counts[level][begin:end] = counts_T
            begin = end
        return counts


def apportion(quotas: Mapping[int, Fraction], offsets_T: numpy.ndarray) -> dict[int, numpy.ndarray]:
    """Round quotas up or down, differently in each step, so that each step's sum is kept.

    With Q_l the sum of the quotas up to level l and u in [0, 1) the step's offset, level l gets
    floor(Q_l + u) - floor(Q_(l-1) + u): its quota in expectation over u, and exactly its quota when that is
    whole.

    Args:
        quotas: level -> its exact number of rows; they sum to a whole number.
        offsets_T: offset of each step in units of 2**-32, (T,), int64.

    Returns:
        Level -> rows that it gets in each step, (T,), int64.

    >>> halves = {1: Fraction(3, 2), 2: Fraction(3, 2)}
    >>> {level: n.tolist() for level, n in apportion(halves, numpy.array([0, 2**31 - 1, 2**31])).items()}
    {1: [1, 1, 2], 2: [2, 2, 1]}
    """
    counts = {}
    below_T = numpy.zeros(len(offsets_T), dtype=numpy.int64)
    reached = Fraction(0)
    for level, quota in quotas.items():
        reached += quota
        whole, part = divmod(reached, 1)
        upto_T = int(whole) + (offsets_T >= math.ceil((1 - part) * ONE)).astype(numpy.int64)
        counts[level] = upto_T - below_T
        below_T = upto_T
    return counts
