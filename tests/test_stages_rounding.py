"""How quotas of a stage that are no whole numbers are rounded, and what that asks of a level."""

from fractions import Fraction

import numpy
import pytest

from observer.curriculum import DrawRequest, LadderIndex, Stage, Stages
from observer.curriculum.dealing import ONE
from observer.curriculum.schedules.stages import apportion
from observer.types import RefusedError


def ladder(*sizes):
    """A ladder with so many rows of level 1, of level 2, and so on."""
    levels = [level for level, size in enumerate(sizes, start=1) for _ in range(size)]
    return LadderIndex([0.5] * len(levels), [0.0] * len(levels), levels)


def request(index, count, step=0):
    return DrawRequest(index, step, count, horizon=9, seed=0)


def test_a_level_that_is_a_row_short_of_its_quota_rounded_up_is_refused_at_once():
    halves = Stages([Stage(None, {1: 1.0, 2: 1.0})])
    with pytest.raises(RefusedError, match=r"draws up to 3 of 5 rows from level 1, which has 2; lower its"):
        halves.batch(request(ladder(2, 8), 5))
    later = Stages([Stage(1, {2: 1.0}), Stage(None, {1: 1.0, 2: 1.0})])
    with pytest.raises(RefusedError, match=r"stage 2 draws up to 3 of 5 rows from level 1"):
        later.batch(request(ladder(2, 8), 5))


def test_a_level_of_exactly_its_quota_rounded_up_is_drawn_from():
    halves = Stages([Stage(None, {1: 1.0, 2: 1.0})])
    index = ladder(3, 8)
    drawn = [(index.level_R[halves.batch(request(index, 5, step))] == 1).sum().item() for step in range(8)]
    assert set(drawn) == {2, 3}
    assert sum(drawn) == 20


@pytest.mark.parametrize("part", [Fraction(1, 3), Fraction(2, 7), Fraction(5, 9), Fraction(1, 2)])
def test_a_quota_is_rounded_up_from_the_first_offset_on_that_fills_it(part):
    first = next(
        offset for offset in range(int((1 - part) * ONE) - 1, ONE) if Fraction(offset, ONE) + part >= 1
    )
    offsets_T = numpy.array([0, first - 1, first, ONE - 1])
    counts = apportion({1: part, 2: 1 - part}, offsets_T)
    assert counts[1].tolist() == [0, 0, 1, 1]
    assert counts[2].tolist() == [1, 1, 0, 0]
