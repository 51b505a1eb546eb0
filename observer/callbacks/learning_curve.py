"""The learning curve of a run: one line for each evaluation, with what it had cost by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from observer.callbacks.step_log import StepLog

FILE = "curve.jsonl"
DIGITS = 6
"""Digits that figures are rounded to: as many as those of a held-out metric hold."""


class LearningCurve(StepLog):
    """Writes ``curve.jsonl``: held-out figures against rollouts, prompts, tokens and seconds.

    ``data.test`` is measured before and after training, ``data.val`` in between. The end of a run that goes
    on was none: its line goes, so that the file ends as that of an unbroken run, but for seconds.
    """

    def __init__(self) -> None:
        """Name the file."""
        super().__init__(FILE)

    def stays(self, record: dict[str, Any], step: int) -> bool:
        """Return whether a line stays: the one from before training, and validations of finished rollouts.

        Args:
            record: the line.
            step: rollouts finished; below 0 for a run that is measured anew.
        """
        return bool(record["step"] <= (step if record.get("split") == "val" else min(step, 0)))


def curve_line(
    step: int, split: Literal["test", "val"], costs: Mapping[str, float], figures: Mapping[str, float]
) -> dict[str, Any]:
    """Return the line of an evaluation.

    Args:
        step: rollouts finished.
        split: the rows that were answered.
        costs: prompts and completion tokens that training has drawn so far, and its seconds.
        figures: of ``PolicyModule.evaluate``.

    >>> figures = {"accuracy": 0.5, "format": 1.0, "length": 7.25, "level_3": 0.5}
    >>> figures |= {f"sampled_{name}": value for name, value in figures.items()}
    >>> list(curve_line(4, "val", {"prompts": 16}, figures))[-4:]
    ['length', 'sampled_length', 'levels', 'sampled_levels']
    """
    kinds = ("", "sampled_")
    line: dict[str, Any] = {"step": step, "split": split, **costs}
    for name in ("accuracy", "format", "length"):
        line |= {f"{kind}{name}": round(figures[f"{kind}{name}"], DIGITS) for kind in kinds}
    return line | {f"{kind}levels": by_level(figures, f"{kind}level_", DIGITS) for kind in kinds}


def by_level(figures: Mapping[str, float], prefix: str, digits: int) -> dict[str, float]:
    """Return the figures by level, rounded, by the level's number.

    >>> by_level({"level_3": 0.12345, "sampled_level_3": 1.0}, "level_", 4)
    {'3': 0.1235}
    """
    return {
        name.removeprefix(prefix): round(value, digits)
        for name, value in figures.items()
        if name.startswith(prefix)
    }
