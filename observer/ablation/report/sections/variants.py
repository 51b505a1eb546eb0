"""Every variant by itself: what it answers, and what it has spent."""

from __future__ import annotations

from collections.abc import Sequence

from observer.ablation.report.document import Section, Table
from observer.ablation.report.effects import Effects
from observer.ablation.report.training import totals
from observer.ablation.report.wording import ONE_SEED, heads, with_interval

METHOD = (
    "Means and 95 % intervals over seeds and held-out problems, both random (crossed model, Satterthwaite's "
    "degrees of freedom). Accuracy, format, length and truncation are of greedy answers; sampled and pass@k "
    "are of answers at temperature 1. Tokens per right: the tokens of all greedy answers by how many are "
    "right; its interval is over seeds."
)


def variants_section(effects: Effects) -> Section:
    """Return the means of every variant."""
    runs = effects.runs
    names = [*runs.grid.variants]
    sampled = [name for name in runs.figures if name.startswith("pass@")]
    right = [name for name in ("accuracy", "sampled_accuracy", *sampled) if name in runs.figures]
    seeds = [(str(len(runs.seeds(name))),) for name in names]
    spent_on = ("tokens per right", "tokens drawn", "update norm")
    spent = [totals(runs, name) for name in names]
    alone = [name for name in names if len(runs.seeds(name)) == 1]
    return Section(
        "Variants",
        [
            METHOD,
            _table(effects, right, ("seeds",), seeds),
            _table(effects, ["format", "length", "truncated"], spent_on, spent),
            *([f"{ONE_SEED} ({', '.join(alone)})."] if alone else []),
        ],
    )


def _table(
    effects: Effects, figures: list[str], more: tuple[str, ...], ends: Sequence[tuple[str, ...]]
) -> Table:
    """Return a table of figures, with more columns behind them.

    Args:
        effects: of the runs.
        figures: names.
        more: heads of further columns.
        ends: their cells, for each variant.
    """
    columns = [[with_interval(one, figure) for one in effects.variants(figure)] for figure in figures]
    cells = zip(effects.runs.grid.variants, *columns, ends, strict=True)
    return Table(("variant", *heads(figures), *more), tuple((*row[:-1], *row[-1]) for row in cells))
