"""What is left of a build, at most: chunks, responses, tokens and, from a few rows that are timed, hours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from observer.ladder.chunks import ChunkFolder, Part
from observer.ladder.measuring import Measuring
from observer.ladder.progress import spoken
from observer.ladder.recipe import asked_of
from observer.ladder.step import BuildStep


@dataclass(frozen=True)
class Cost:
    """What is left to do of what asks a model, at most: as if no earlier step of a build removed a row."""

    name: str
    """Of the step, or of the benchmark."""
    chunks: int
    finished: int
    """Chunks that need not be done again."""
    rows: int
    responses: int
    most_tokens: int
    tokens: float | None = None
    """Tokens, as far as the timed rows tell."""
    seconds: float | None = None
    """Seconds on this machine, as far as the timed rows tell."""


def plan(measuring: Measuring, part: Part | None, timed: int) -> list[Cost]:
    """Return what is left to do of each step that asks a model.

    Args:
        measuring: of the build; its folder may hold finished chunks.
        part: of the chunks; None for all.
        timed: rows of each step that are answered to measure; 0 loads no model.

    Raises:
        RefusedError: the folder holds chunks of something else.
    """
    measuring.refuse_other()
    costs = []
    for place, step in enumerate(measuring.recipe.steps):
        if not step.asks:
            continue
        own, left, chunks = measuring.own(place, part), measuring.left(place, part), measuring.chunks(step)
        rows = sum(len(chunks.range(chunk)) for chunk in left)
        each = getattr(step, "responses", 1) * max(1, len(asked_of(step)))
        most = rows * each * getattr(step, "max_tokens", 0)
        cost = Cost(type(step).__name__, len(own), len(own) - len(left), rows, rows * each, most)
        if timed and rows:
            cost = _timed(measuring, step, cost, chunks, left, min(timed, rows))
        costs.append(cost)
    return costs


def _timed(
    measuring: Measuring, step: BuildStep, cost: Cost, chunks: ChunkFolder, left: list[int], timed: int
) -> Cost:
    """Return the cost with the tokens and the seconds of some of the rows that are left, spread over them."""
    ends = np.cumsum([len(chunks.range(chunk)) for chunk in left])
    problems = []
    for at in np.unique(np.linspace(0, cost.rows - 1, timed).astype(int)).tolist():
        chunk = int(np.searchsorted(ends, at, "right"))
        problems.append(measuring.rows[chunks.range(left[chunk])[at - int(ends[chunk])]])
    asking = measuring.asker()
    try:
        step.measure(problems[:1], asking)  # loads the model
        before, began = asking.tokens, time.perf_counter()
        step.measure(problems, asking)
        seconds = (time.perf_counter() - began) / len(problems) * cost.rows
        tokens = (asking.tokens - before) / len(problems) * cost.rows
    finally:
        asking.close()
    return replace(cost, tokens=tokens, seconds=seconds)


def table(costs: list[Cost]) -> Table:
    """Return the costs as a table for the terminal."""
    shown = cost_table(costs, "step", "plan: what is left to do, as if no step removed a row", unknown="")
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    if seconds:
        shown.caption = f"{spoken(sum(seconds))} in all on this machine, by one process; --part shares it"
    return shown


def cost_table(costs: Sequence[Cost], what: str, title: str, unknown: str) -> Table:
    """Return costs as a table for the terminal, without a caption.

    Args:
        costs: a line each.
        what: they are costs of, as the first column is called.
        title: of the table.
        unknown: stands for tokens and time that were not measured.
    """
    shown = Table(box=SIMPLE, pad_edge=False, title=title, title_justify="left")
    for name in (what, "chunks left", "rows", "responses", "tokens at most", "tokens", "time"):
        shown.add_column(name, justify="left" if name == what else "right", no_wrap=True)
    for cost in costs:
        shown.add_row(
            Text(cost.name),
            f"{cost.chunks - cost.finished:,} of {cost.chunks:,}",
            f"{cost.rows:,}",
            f"{cost.responses:,}",
            f"{cost.most_tokens:,}",
            unknown if cost.tokens is None else f"{cost.tokens:,.0f}",
            unknown if cost.seconds is None else spoken(cost.seconds),
        )
    return shown
