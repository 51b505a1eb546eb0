"""Whether rows are solved more often than a guess is right: what the filters by answers alone share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from observer.ladder.asked import AskedModel
from observer.ladder.asking import Ask, Asker
from observer.ladder.guessing.turned_options import chance, turned
from observer.ladder.selection import Selection
from observer.ladder.step import Values, doubted, keep
from observer.ladder.table import Table
from observer.types import Problem

COLUMNS = {
    "correct": pa.int32(),
    "responses": pa.int32(),
    "chance": pa.float64(),
    "turned": pa.int32(),
    "fault": pa.string(),
}
"""What is measured: right responses, all of them, how often a guess is right, in how many orders the options
were asked, and why the row could not be asked."""


def columns(prefix: str) -> dict[str, pa.DataType]:
    """Return the columns under the name of a step."""
    return {f"{prefix}_{name}": kind for name, kind in COLUMNS.items()}


def count_right(
    problems: Sequence[Problem], asker: Asker, ask: Ask, model: AskedModel | None, of_open: float, prefix: str
) -> Values:
    """Ask each problem ``ask.responses`` times, options in turned orders, and count the right responses.

    Args:
        problems: of a chunk.
        asker: asks models.
        ask: how.
        model: None for the build's.
        of_open: how often a guess is right where the answer is not one of a few.
        prefix: of the columns.
    """
    faults = asker.faults(problems, ask, model)
    asked: dict[int, list[tuple[int, Problem]]] = {}
    orders = [0] * len(problems)
    for place, problem in enumerate(problems):
        if not faults[place]:
            shares = list(_shares(problem, ask.responses))
            orders[place] = len(shares)
            for variant, count in shares:
                asked.setdefault(count, []).append((place, variant))
    right = [0] * len(problems)
    for count, variants in sorted(asked.items()):
        answers = asker.ask([problem for _, problem in variants], replace(ask, responses=count), model)
        for (place, _), responses in zip(variants, answers, strict=True):
            right[place] += sum(score.correct for _, score in responses)
    return {
        f"{prefix}_correct": [None if fault else n for n, fault in zip(right, faults, strict=True)],
        f"{prefix}_responses": [None if fault else ask.responses for fault in faults],
        f"{prefix}_chance": [chance(problem, of_open) for problem in problems],
        f"{prefix}_turned": orders,
        f"{prefix}_fault": faults,
    }


def _shares(problem: Problem, responses: int) -> list[tuple[Problem, int]]:
    """Return the orders of a problem's options, or the problem itself, and how often each is asked."""
    count = min(len(problem.options), responses)
    variants = [turned(problem, shift) for shift in range(count)]
    known = [variant for variant in variants if variant is not None]
    if len(known) < 2:
        return [(problem, responses)]
    return [(variant, len(range(place, responses, count))) for place, variant in enumerate(known)]


def above_chance(
    table: Table, prefix: str, confidence: float, told: Callable[[int, int], str], mend: str = ""
) -> Selection:
    """Remove the rows whose lower Wilson bound lies above the chance rate of their kind of answer.

    Rows whose gold answer was corrected stay, and their count of right responses is unknown.

    Args:
        table: of the rows that are in.
        prefix: of the columns.
        confidence: of the two-sided interval.
        told: (right, all) -> how the reason begins.
        mend: what brings a row back that goes, if people decide on them; "" where they do not.
    """
    from observer.statistics import wilson  # its room needs scipy, which takes a moment

    right_N = table.numbers(f"{prefix}_correct")
    asked_N = table.numbers(f"{prefix}_responses")
    chance_N = table.numbers(f"{prefix}_chance")
    low_N = wilson(np.nan_to_num(right_N), np.nan_to_num(asked_N), confidence)[0]

    def reason(place: int) -> str:
        if np.isnan(asked_N[place]):
            return f"cannot be asked: {table.value(f'{prefix}_fault', int(table.rows_N[place]))}"
        return (
            f"{told(int(right_N[place]), int(asked_N[place]))}: at least {low_N[place]:.2f} with confidence "
            f"{confidence:g}, and a guess is right in {chance_N[place]:.2f}"
        )

    could_N = ~np.isnan(asked_N)
    corrected_N = table.among("correct")
    back_N = table.among("keep", "correct") if mend else corrected_N
    good_N = could_N & ((low_N <= chance_N) | back_N)
    kept = keep(table, good_N, reason, doubted(table, good_N | ~could_N, reason, mend) if mend else ())
    unknown = {f"{prefix}_correct": None}  # the responses were not kept, and so cannot be judged again
    return replace(kept, corrected=dict.fromkeys(table.rows_N[corrected_N].tolist(), unknown))
