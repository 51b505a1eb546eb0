"""What a build will cost: responses and tokens at most and, from a few rows that are timed, hours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from observer.data.rows import Rows
from observer.ladder.asked import AskedModel
from observer.ladder.asking import Asker
from observer.ladder.progress import spoken
from observer.ladder.recipe import Recipe, asked_of


@dataclass(frozen=True)
class Cost:
    """What a step that asks a model costs at most: as if no earlier step removed a row."""

    step: str
    rows: int
    responses: int
    most_tokens: int
    tokens: float | None = None
    """Tokens, as far as the timed rows tell."""
    seconds: float | None = None
    """Seconds on this machine, as far as the timed rows tell."""


def plan(recipe: Recipe, rows: Rows, timed: int, asker: Callable[[AskedModel, int], Asker]) -> list[Cost]:
    """Return what each step that asks a model costs.

    Args:
        recipe: of the build.
        rows: the opened input.
        timed: rows that are answered to measure; 0 loads no model.
        asker: makes what asks models.
    """
    count = min(len(rows), recipe.limit or len(rows))
    chosen = np.unique(np.linspace(0, count - 1, min(timed, count)).astype(int)).tolist() if timed else []
    problems = [rows[row] for row in chosen]
    costs = []
    for step in recipe.steps:
        if not step.asks:
            continue
        each = getattr(step, "responses", 1) * max(1, len(asked_of(step)))
        cost = Cost(type(step).__name__, count, count * each, count * each * getattr(step, "max_tokens", 0))
        if problems:
            asking = asker(recipe.model, recipe.seed)
            try:
                step.measure(problems[:1], asking)  # loads the model
                before, began = asking.tokens, time.perf_counter()
                step.measure(problems, asking)
                seconds = (time.perf_counter() - began) / len(problems) * count
                tokens = (asking.tokens - before) / len(problems) * count
            finally:
                asking.close()
            cost = Cost(cost.step, cost.rows, cost.responses, cost.most_tokens, tokens, seconds)
        costs.append(cost)
    return costs


def table(costs: list[Cost]) -> Table:
    """Return the costs as a table for the terminal."""
    shown = Table(box=SIMPLE, pad_edge=False, title="plan: as if no step removed a row", title_justify="left")
    for name in ("step", "rows", "responses", "tokens at most", "tokens", "time"):
        shown.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for cost in costs:
        shown.add_row(
            cost.step,
            f"{cost.rows:,}",
            f"{cost.responses:,}",
            f"{cost.most_tokens:,}",
            "" if cost.tokens is None else f"{cost.tokens:,.0f}",
            "" if cost.seconds is None else spoken(cost.seconds),
        )
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    if seconds:
        shown.caption = f"{spoken(sum(seconds))} in all on this machine, by one process; --part shares it"
    return shown
