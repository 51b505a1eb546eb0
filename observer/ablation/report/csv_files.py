"""The report's numbers as CSV: one row per variant, contrast, level or evaluation; columns of the clock last.

Accuracies and other shares are 0 .. 1 here, not percent. A cell is empty where there is no number.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from observer.ablation.report.budgets import at_equal
from observer.ablation.report.curves import BUDGETS, KEPT
from observer.ablation.report.effects import PRIMARY, Effect, Effects, explored
from observer.ablation.report.training import spent_S, tokens_per_right_S, update_norm_S
from observer.ablation.report.wording import statement
from observer.statistics import student

Cell = str | float | int | bool | None
ENDS = ("mean", "low", "high")
FIRST = "seconds"
"""Names of columns that depend on the clock begin so; they are the last ones."""


def text(cells: Iterable[Sequence[Cell]]) -> str:
    r"""Return rows as CSV; numbers with six digits, nothing for what is not known.

    >>> text([("a", 0.5, None, float("inf"), True)])
    'a,0.5,,,true\n'
    """
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([[_cell(one) for one in row] for row in cells])
    return file.getvalue()


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ends(one: Effect) -> list[Cell]:
    """Return mean and interval."""
    if one.estimate is None:
        return [None, None, None]
    return [one.estimate.mean, *(one.interval or (None, None))]


def _over_seeds(values: list[float | None]) -> list[Cell]:
    values_S = [one for one in values if one is not None]
    if not values_S:
        return [None, None, None]
    estimate = student(values_S)
    return [estimate.mean, *estimate.interval()]


def variants_csv(effects: Effects) -> str:
    """Return a row per variant: every figure with its interval, and what was spent."""
    runs = effects.runs
    heads = ["variant", "seeds", "problems", "clusters"]
    heads += [_head(name, end) for name in runs.figures for end in ENDS]
    spent = ["tokens_per_correct", "tokens", "update_norm", FIRST]
    heads += [_head(name, end) for name in spent for end in ENDS]
    columns = [effects.variants(name) for name in runs.figures]
    rows: list[Sequence[Cell]] = [heads]
    for place, variant in enumerate(runs.grid.variants):
        row: list[Cell] = [variant, len(runs.seeds(variant)), len(runs.problems.ids), runs.problems.clusters]
        row += [cell for column in columns for cell in _ends(column[place])]
        row += _over_seeds(tokens_per_right_S(runs, variant))
        row += _over_seeds(spent_S(runs, variant, "tokens")) + _over_seeds(update_norm_S(runs, variant))
        rows.append(row + _over_seeds(spent_S(runs, variant, "seconds")))
    return text(rows)


def _head(name: str, end: str) -> str:
    return name if end == "mean" else f"{name}_{end}"


def contrasts_csv(effects: Effects, split: str) -> str:
    """Return a row per difference and figure; those of greedy accuracy also at equal budgets."""
    runs, count = effects.runs, len(effects.planned)
    heads = [
        *(
            "contrast",
            "role",
            "figure",
            "difference",
            "low",
            "high",
            "df",
            "p",
            "holm_p",
            "margin",
            "equivalent",
        ),
        *("seeds", "left_out", "problems", "clusters", "seed_variance", "problem_variance", "cell_variance"),
        *("statement", "curve_split"),
    ]
    heads += [f"{budget}_{end}" for budget in BUDGETS for end in ("at", "difference", "low", "high")]
    rows: list[Sequence[Cell]] = [heads]
    compared = {**runs.grid.contrasts, **explored(runs)}
    for figure in runs.figures:
        for one in effects.primary(figure) + effects.exploratory(figure):
            tested = one.name in runs.grid.contrasts and figure == PRIMARY
            role = "primary" if tested else "secondary" if one.name in runs.grid.contrasts else "exploratory"
            role = "named later" if one.name in effects.untested else role
            row: list[Cell] = [
                one.name,
                role,
                figure,
                *_ends(one),
                one.estimate.df if one.sure and one.estimate else None,
            ]
            holm_p = effects.holm[one.name] if effects.tested(one) else None
            row += [one.p_value if effects.tested(one) else None, holm_p]
            accurate = figure in (PRIMARY, f"sampled_{PRIMARY}")
            equal = (
                one.estimate.equivalent(runs.grid.margin) if accurate and one.sure and one.estimate else None
            )
            row += [
                runs.grid.margin if accurate else None,
                equal,
                len(one.seeds),
                " ".join(map(str, one.left_out)),
            ]
            row += _variances(one)
            row += [statement(one, runs.grid.margin, holm_p, count) if tested else None]
            row += [split if figure == PRIMARY else None]
            row += (
                _budgets(effects, one.name, compared[one.name], split) if figure == PRIMARY else [None] * 12
            )
            rows.append(row)
    return text(rows)


def _variances(one: Effect) -> list[Cell]:
    found = one.estimate
    if found is None:
        return [None] * 5
    return [found.problems, found.clusters, found.seed_variance, found.problem_variance, found.cell_variance]


def _budgets(effects: Effects, name: str, weights: dict[str, float], split: str) -> list[Cell]:
    row: list[Cell] = []
    for budget in BUDGETS:
        one = at_equal(effects.runs, name, weights, budget, split)
        mean = None if one.estimate is None else one.estimate.mean
        row += [one.spent, mean, *(one.interval or (None, None))]
    return row


def by_level_csv(effects: Effects) -> str:
    """Return a row per variant or difference, level and figure; nothing here is tested."""
    rows: list[Sequence[Cell]] = [["of", "name", "level", "figure", *ENDS, "seeds", "problems", "clusters"]]
    for figure in effects.runs.figures:
        for level in effects.levels:
            found = [("variant", one) for one in effects.variants(figure, level)]
            found += [("difference", one) for one in effects.primary(figure, level)]
            found += [("difference", one) for one in effects.exploratory(figure, level)]
            for of, one in found:
                counts = (one.estimate.problems, one.estimate.clusters) if one.estimate else (None, None)
                rows.append([of, one.name, level, figure, *_ends(one), len(one.seeds), *counts])
    return text(rows)


def curves_csv(effects: Effects) -> str:
    """Return a row per evaluation of each run."""
    rows: list[Sequence[Cell]] = [["variant", "seed", "split", "step", "prompts", "tokens", *KEPT, FIRST]]
    for (variant, seed), one in sorted(
        effects.runs.measured.items(), key=lambda item: (item[0][0], item[0][1])
    ):
        for point in one.curve:
            row: list[Cell] = [variant, seed, point.split, point.step]
            row += [int(point.spent["prompts"]), int(point.spent["tokens"])]
            rows.append([*row, *(point.figures.get(name) for name in KEPT), point.spent["seconds"]])
    return text(rows)
