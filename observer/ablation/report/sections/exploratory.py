"""Differences that nobody has named beforehand: shown with intervals, and not tested."""

from __future__ import annotations

from collections.abc import Mapping

from observer.ablation.report.document import Block, Section, Table, figure
from observer.ablation.report.effects import PRIMARY, Effects
from observer.ablation.report.wording import HEADINGS, heads, several, with_interval

CAPTION = "Accuracy by level, with 95 % intervals over seeds and problems"
EXPLORED = (
    "Not tested: no p-values, and no correction for how many there are. With many differences some "
    "intervals exclude 0 by chance: they are ideas for a next grid, not results."
)


def exploratory_section(effects: Effects) -> Section:
    """Return every variant less the baseline, and main effects of axes, without tests."""
    runs = effects.runs
    names = [name for name in (*HEADINGS,) if name in runs.figures]
    columns = [effects.exploratory(name) for name in names]
    if not columns[0]:
        return Section(
            "Exploratory", ["Every difference is a primary contrast, or there is one variant only."]
        )
    rows = [
        (
            row[0].name,
            *(with_interval(one, name, signed=True) for name, one in zip(names, row, strict=True)),
            str(len(row[0].seeds)),
        )
        for row in zip(*columns, strict=True)
    ]
    columns_of = [head.replace(", %", ", points") for head in heads(names)]
    return Section("Exploratory", [EXPLORED, Table(("difference", *columns_of, "seeds"), tuple(rows))])


def levels_section(effects: Effects, figures: Mapping[str, str]) -> Section:
    """Return accuracy by level: of variants, then of differences.

    Args:
        effects: of the runs.
        figures: name of a figure -> its file, of those that were drawn.
    """
    levels = effects.levels
    shares = {level: int((effects.runs.problems.levels_P == level).sum()) for level in levels}
    by = tuple(f"level {level} ({several(count, 'problem')})" for level, count in shares.items())
    by_level = [effects.variants(PRIMARY, level) for level in levels]
    variants = [(row[0].name, *(with_interval(one) for one in row)) for row in zip(*by_level, strict=True)]
    by_level = [effects.primary(PRIMARY, level) + effects.exploratory(PRIMARY, level) for level in levels]
    differences = [
        (row[0].name, *(with_interval(one, signed=True) for one in row))
        for row in zip(*by_level, strict=True)
    ]
    blocks: list[Block] = ["Exploratory, without tests. Accuracy of greedy answers, %."]
    blocks += [*figure(figures, "levels", CAPTION), Table(("variant", *by), tuple(variants))]
    if differences:
        blocks += ["Differences, points.", Table(("difference", *by), tuple(differences))]
    return Section("By level", blocks, terminal=False)
