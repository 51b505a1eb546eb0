"""What tests of schedules share: a ladder of nine rungs, and steps as the data module takes them."""

import numpy

from observer.curriculum import DrawRequest, LadderIndex

SIZE, COUNT, HORIZON, SEED = 900, 12, 60, 7


def ladder_of(size=SIZE, seed=0, rungs=9):
    chance = numpy.random.default_rng(seed)
    level_R = chance.permutation(numpy.arange(size) % rungs)
    complexity_R = 150 + 12 * level_R + chance.integers(0, 40, size)
    return LadderIndex(level_R / 8, complexity_R, level_R, chance.integers(0, 3, size), ["a", "b", "c"])


def request_of(index, step, count=COUNT, horizon=HORIZON, seed=SEED):
    return DrawRequest(index, step, count, horizon, seed)


def rates_of(step, rows):
    """Pass rates that look random and depend on the step and the row alone."""
    return [((row * 7919 + step * 104729) % 9) / 8 for row in rows]


def run(schedule, index, begin, end, count=COUNT, horizon=HORIZON, seed=SEED):
    """Draw and observe as the data module does; return the batches."""
    batches = []
    for step in range(begin, end):
        request = DrawRequest(index, step, count, horizon, seed)
        rows = schedule.batch(request)
        rates = rates_of(step, rows)
        index.observe(rows, rates, step)
        index.memory = schedule.memory_after(request, rows, rates)
        batches.append(rows)
    return batches
