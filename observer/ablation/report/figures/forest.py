"""The forest plot: every difference with its interval, beside the margin within which it would not matter."""

from __future__ import annotations

from matplotlib.axes import Axes

from observer.ablation.report.effects import Effect, Effects
from observer.ablation.report.figures.canvas import COLOURS, GREY, canvas, png, short
from observer.ablation.report.wording import number, points

WIDEST = 6.0
"""The axis reaches so many times as far as the largest mean or the margin; longer intervals end in arrows."""
MOST = 40
"""Rows that a figure has room for."""


def forest_figure(effects: Effects) -> bytes | None:
    """Draw the primary contrasts, greedy and sampled, and the exploratory differences, as a PNG.

    Returns:
        None where there is no difference to draw.
    """
    greedy, sampled = effects.primary(), effects.primary("sampled_accuracy")
    rows = [(one, True) for pair in zip(greedy, sampled, strict=True) for one in pair]
    rows = [(one, one.name not in effects.untested) for one, _ in rows]
    rows += [(one, False) for one in effects.exploratory()]
    rows = [(one, tested) for one, tested in rows if one.estimate is not None][:MOST]
    if not rows:
        return None
    margin = 100 * effects.runs.grid.margin
    limit = _limit([one for one, _ in rows], margin)
    figure = canvas(7.5, 1.1 + 0.36 * len(rows))
    axes = figure.add_subplot()
    axes.axvspan(-margin, margin, color="#e3e3e3", linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    for place, (one, tested) in enumerate(rows):
        _row(axes, -place, one, tested, limit)
    primary = sum(tested for _, tested in rows)
    if 0 < primary < len(rows):
        axes.axhline(0.5 - primary, color=GREY, linewidth=0.6, linestyle=":")
    axes.set_yticks([-place for place in range(len(rows))], [_name(*row) for row in rows], fontsize=8)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set(xlim=(-limit, limit), ylim=(0.6 - len(rows), 0.6))
    axes.set_xlabel(f"difference in accuracy, points; grey: within ±{points(margin / 100)}", fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return png(figure)


def _limit(rows: list[Effect], margin: float) -> float:
    """Return how far the axis reaches, in points."""
    ends = [abs(100 * end) for one in rows for end in one.interval or ()]
    means = [abs(100 * one.estimate.mean) for one in rows if one.estimate is not None]
    return 1.08 * min(max([*ends, *means, 1.5 * margin]), WIDEST * max([*means, margin]))


def _name(one: Effect, tested: bool) -> str:
    if one.figure != "accuracy":
        return "sampled answers"
    return short(one.name, 34, 2) if tested else f"{short(one.name, 34, 2)} (not tested)"


def _row(axes: Axes, height: float, one: Effect, tested: bool, limit: float) -> None:
    """Draw one difference: mean, interval, and the numbers to the right."""
    assert one.estimate is not None
    greedy = one.figure == "accuracy"
    colour = COLOURS[0] if tested else GREY
    mean = 100 * one.estimate.mean
    text = number(mean, signed=True)
    if one.interval is not None:
        low, high = (100 * end for end in one.interval)
        axes.plot(
            [max(low, -limit), min(high, limit)],
            [height, height],
            color=colour,
            linewidth=1.6 if greedy else 0.9,
        )
        for end, side, marker in ((low, -1, "<"), (high, 1, ">")):
            if side * end > limit:
                axes.plot([side * limit], [height], marker=marker, color=colour, markersize=6, clip_on=False)
        text += f" ({number(low, signed=True)}, {number(high, signed=True)})"
    elif not one.sure:
        text += " (one seed)"
    filled = tested and greedy
    axes.plot(
        [mean], [height], marker="s" if tested else "o", color=colour, markersize=6 if greedy else 4.5,
        markerfacecolor=colour if filled else "white",
    )  # fmt: skip
    axes.annotate(
        text,
        (1.02, height),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        annotation_clip=False,
    )
