"""Numbers and effects in words: what is shown, what is not, and what would show it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from observer.ablation.report.budgets import Budgeted
from observer.ablation.report.document import ABSENT
from observer.ablation.report.effects import UNBOUNDED, Effect
from observer.statistics import seeds_to_resolve

HEADINGS = {
    "accuracy": "accuracy, %",
    "sampled_accuracy": "sampled, %",
    "format": "format, %",
    "length": "length, tokens",
    "truncated": "truncated, %",
}
"""Figure -> the head of its column; pass@k and the others are headed by their names."""
LEVEL = 0.05
"""At which a difference is called one."""
ONE_SEED = "one seed: no interval over seeds"


def heads(figures: Iterable[str]) -> list[str]:
    """Return the heads of the columns of figures."""
    return [HEADINGS.get(figure, f"{figure}, %") for figure in figures]


def scale(figure: str) -> float:
    """Return by what a figure is multiplied where it is shown: shares are shown in percent."""
    return 1.0 if figure in UNBOUNDED else 100.0


def number(value: float, signed: bool = False) -> str:
    """Return a number with one digit behind the point; what rounds to 0 has no sign.

    >>> number(2.96, signed=True), number(-0.04, signed=True), number(0.04)
    ('+3.0', '0.0', '0.0')
    """
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return "0.0" if text in ("-0.0", "+0.0") else text


def points(share: float) -> str:
    """Return a share in points.

    >>> points(0.01), points(0.005), points(0.03)
    ('1 point', '0.5 points', '3 points')
    """
    size = f"{100 * share:.4g}"
    return f"{size} point" if size == "1" else f"{size} points"


def p_text(value: float | None) -> str:
    """Return a p-value.

    >>> p_text(0.0123), p_text(0.00001), p_text(None)
    ('0.012', '< 0.001', '-')
    """
    if value is None:
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def several(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> several(1, "seed"), several(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(values: Iterable[object]) -> str:
    """Return values with commas and one ``and``.

    >>> listed([0, 2]), listed([0, 2, 3])
    ('0 and 2', '0, 2 and 3')
    """
    *before, last = map(str, values)
    return f"{', '.join(before)} and {last}" if before else last


def with_interval(one: Effect | Budgeted, figure: str = "accuracy", signed: bool = False) -> str:
    """Return a mean and its interval as a cell of a table."""
    if one.estimate is None:
        return ABSENT
    by = scale(figure)
    mean = number(by * one.estimate.mean, signed)
    if (interval := one.interval) is None:
        return mean
    low, high = (number(by * end, signed) for end in interval)
    return f"{mean} ({low}, {high})"


def resolved_by(one: Effect, margin: float) -> str:
    """Say what would resolve a difference that is neither shown nor shown to be small; "" where it is one.

    Resolved is an interval whose half is as wide as the margin: it cannot hold both 0 and a difference of
    twice the margin.
    """
    if one.estimate is None or not one.sure or one.estimate.equivalent(margin):
        return ""
    interval = one.interval
    if interval is not None and (interval[0] > 0 or interval[1] < 0):
        return ""
    wide = f"an interval of ±{points(margin)}"
    if interval is None or one.estimate.constant:
        return f"its spread over seeds is not known, so nor is what {wide} takes"
    needed = seeds_to_resolve(one.estimate, half_width=margin)
    if needed is None:
        return f"more seeds alone do not give {wide}: more held-out problems are needed"
    if needed > len(one.seeds):
        return f"{wide} takes about {several(needed, 'seed')}"
    found = abs(one.estimate.mean)
    needed = seeds_to_resolve(one.estimate, effect=found) if found else None
    if needed is None:
        return "more seeds alone do not tell it from 0: more held-out problems are needed"
    return f"a true {points(round(found, 3))} would be told from 0 by about {several(needed, 'seed')}"


def equivalence(one: Effect, margin: float) -> str:
    """Say whether a difference is shown to be within the margin."""
    if one.estimate is None or not one.sure:
        return "not shown"
    return "shown" if one.estimate.equivalent(margin) else "not shown"


def statement(one: Effect, margin: float, holm_p: float | None, contrasts: int) -> str:
    """Say in words what is known of a primary contrast.

    Args:
        one: its difference in accuracy.
        margin: of equivalence, in accuracy.
        holm_p: its p-value after Holm.
        contrasts: how many primary contrasts there are.
    """
    if one.estimate is None:
        return "not available: no seed is complete in all of its variants"
    if not one.sure:
        return f"{ONE_SEED}; nothing is tested"
    said = [_direction(one, holm_p, contrasts), f"within ±{points(margin)}: {equivalence(one, margin)}"]
    return "; ".join([*said, *filter(None, [resolved_by(one, margin)])])


def _direction(one: Effect, holm_p: float | None, contrasts: int) -> str:
    assert one.estimate is not None
    interval = one.interval
    if interval is None or interval[0] <= 0 <= interval[1]:
        same = one.estimate.constant and one.estimate.mean == 0
        return "not distinguishable" + (": equal on every problem and seed" if same else "")
    size = f"{number(abs(100 * one.estimate.mean))} points {'higher' if one.estimate.mean > 0 else 'lower'}"
    if holm_p is not None and holm_p > LEVEL:
        return f"{size} by its own interval, but not distinguishable with {contrasts} tests (Holm)"
    return size


def left_out(one: Effect) -> str:
    """Say which seeds are left out because a variant lacks them."""
    if not one.left_out or not one.seeds:
        return ""
    seeds = "seed" if len(one.left_out) == 1 else "seeds"
    return f"{seeds} {listed(one.left_out)} left out: not complete in all of its variants"


def degrees(one: Effect) -> str:
    """Return the degrees of freedom as a cell of a table."""
    if one.estimate is None or not one.sure or not math.isfinite(one.estimate.df) or one.estimate.df == 0:
        return ABSENT
    return f"{one.estimate.df:.1f}"
