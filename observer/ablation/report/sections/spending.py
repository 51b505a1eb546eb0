"""Learning curves, and differences where all compared runs have spent the same tokens or seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from observer.ablation.report.budgets import Budgeted, at_equal
from observer.ablation.report.curves import of_split
from observer.ablation.report.document import ABSENT, Block, Section, Table, figure
from observer.ablation.report.effects import Effects, explored
from observer.ablation.report.training import spent
from observer.ablation.report.wording import several, with_interval

BANDS = "Mean accuracy, and 95 % intervals over seeds as bands,"


def curves_section(effects: Effects, split: str, figures: Mapping[str, str]) -> Section:
    """Return learning curves, and differences after equal tokens.

    Args:
        effects: of the runs.
        split: whose evaluations are read.
        figures: name of a figure -> its file, of those that were drawn.
    """
    blocks: list[Block] = [_read_from(effects, split)]
    blocks += figure(figures, "curves_prompts", f"{BANDS} against prompts drawn")
    blocks += figure(figures, "curves_tokens", f"{BANDS} against tokens drawn")
    blocks += _at_equal(effects, split, ("prompts", "tokens"), lambda spent: f"{spent:,.0f}")
    return Section("Learning curves and equal tokens", blocks)


def _read_from(effects: Effects, split: str) -> str:
    counts = {len(of_split(one.curve, split, "prompts")[0]) for one in effects.runs.measured.values()}
    fewest, most = min(counts), max(counts)
    evaluations = several(most, "evaluation") if fewest == most else f"{fewest} to {most} evaluations"
    other = "" if split == "test" else " data.test is measured before and after training only."
    return (
        f"Accuracy of greedy answers on data.{split}, {evaluations} per run.{other} Between evaluations a "
        "straight line, and not available where a run has fewer than two of them. Intervals and bands are "
        "over seeds alone (Student). Not tested."
    )


def _at_equal(
    effects: Effects, split: str, budgets: tuple[str, ...], text: Callable[[float], str]
) -> Iterator[Block]:
    """Yield the differences at equal budgets as a table."""
    runs = effects.runs
    compared = {**runs.grid.contrasts, **explored(runs)}
    rows = []
    for name, weights in compared.items():
        found = [at_equal(runs, name, weights, budget, split) for budget in budgets]
        cells = [
            cell
            for one in found
            for cell in (_budgeted(one), text(one.spent) if one.spent is not None else ABSENT)
        ]
        rows.append((name, *cells))
    heads = [head for budget in budgets for head in (f"at equal {budget}, points", budget)]
    if rows:
        yield Table(("difference", *heads), tuple(rows))


def _budgeted(one: Budgeted) -> str:
    return with_interval(one, signed=True) if one.estimate is not None else "not available"


def seconds_section(effects: Effects, split: str, figures: Mapping[str, str]) -> Section:
    """Return all that depends on the clock, so that it can be cut from the report.

    Args:
        effects: of the runs.
        split: whose evaluations are read.
        figures: name of a figure -> its file, of those that were drawn.
    """
    rows = [(variant, spent(effects.runs, variant, "seconds")) for variant in effects.runs.grid.variants]
    return Section(
        "Seconds",
        [
            "Seconds of training without evaluation. They depend on the machine and on what else ran on it: "
            "two runs of this grid differ in this section and in nothing else.",
            Table(("variant", "seconds of training"), tuple(rows)),
            *figure(figures, "curves_seconds", f"{BANDS} against seconds of training"),
            *_at_equal(effects, split, ("seconds",), lambda seconds: f"{seconds:,.1f}"),
        ],
    )
