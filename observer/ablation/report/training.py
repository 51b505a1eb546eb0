"""What a variant's runs and its answers have spent, and how far their updates moved the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from observer.ablation.report.collect import Collected
from observer.ablation.report.document import ABSENT
from observer.statistics import student


def spent(runs: Collected, variant: str, budget: str) -> str:
    """Return what the runs of a variant have spent by their last evaluation, as a cell of a table.

    Args:
        runs: what was collected.
        variant: its name.
        budget: ``prompts``, ``tokens`` or ``seconds``.
    """
    return cell([one for one in spent_S(runs, variant, budget) if one is not None], lambda it: f"{it:,.0f}")


def spent_S(runs: Collected, variant: str, budget: str) -> list[float | None]:
    """Return what each run of a variant has spent; None where it has no curve."""
    curves = [runs.measured[variant, seed].curve for seed in runs.seeds(variant)]
    return [max((point.spent[budget] for point in curve), default=None) for curve in curves]


def tokens_per_right_S(runs: Collected, variant: str) -> list[float | None]:
    """Return the tokens of all greedy answers of each run by how many are right; None where none is."""
    seeds = runs.seeds(variant)
    if not seeds:
        return []
    tokens_S, right_S = (runs.values(variant, seeds, name).sum(1) for name in ("length", "accuracy"))
    pairs = zip(tokens_S.tolist(), right_S.tolist(), strict=True)
    return [tokens / right if right else None for tokens, right in pairs]


def update_norm_S(runs: Collected, variant: str) -> list[float | None]:
    """Return the mean norm of the updates of each run of a variant; None where it was not recorded."""
    found = [runs.measured[variant, seed].summary.get("update_norm") for seed in runs.seeds(variant)]
    return [float(one) if isinstance(one, int | float) and math.isfinite(one) else None for one in found]


def totals(runs: Collected, variant: str) -> tuple[str, str, str]:
    """Return tokens per right answer, tokens drawn and the mean update norm of a variant as cells."""
    each = [one for one in tokens_per_right_S(runs, variant) if one is not None]
    norms = [one for one in update_norm_S(runs, variant) if one is not None]
    answered = cell(each, lambda it: f"{it:.1f}")
    return answered, spent(runs, variant, "tokens"), cell(norms, lambda it: f"{it:#.3g}")


def cell(values_S: list[float], text: Callable[[float], str]) -> str:
    """Return the mean over seeds and its interval; the mean alone where seeds have no spread to measure."""
    if not values_S:
        return ABSENT
    estimate = student(values_S)
    if (interval := estimate.known_interval()) is None:
        return text(estimate.mean)
    low, high = map(text, interval)
    return f"{text(estimate.mean)} ({low}, {high})"
