"""The learning curve of a run: one line for each evaluation, with what it had cost by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import lightning

from observer.callbacks.step_log import StepLog

FILE = "curve.jsonl"
DIGITS = 6
"""Digits that figures are rounded to: as many as those of a held-out metric hold."""


class LearningCurve(StepLog):
    """Writes ``curve.jsonl``: held-out figures against rollouts, prompts, tokens and seconds.

    ``data.test`` is measured before and after training, ``data.val`` in between. The end of a run that goes
    on was none: its line goes, and that of the validation that Lightning makes where a run is stopped, so
    that the file ends as that of an unbroken run, but for seconds.
    """

    def __init__(self) -> None:
        """Name the file."""
        super().__init__(FILE)
        self._stopped_at: int | None = None

    def open(self, trainer: lightning.Trainer, step: int) -> None:
        """Open the log and cut what the run does not know of.

        Args:
            trainer: of the run.
            step: rollouts finished; -1 for a run that is measured anew.
        """
        self._stopped_at = None if validation_is_due(trainer, step) else step
        super().open(trainer, step)

    def stays(self, record: dict[str, Any], step: int) -> bool:
        """Return whether a line stays: the one from before training, and validations of finished rollouts.

        Args:
            record: the line.
            step: rollouts finished; below 0 for a run that is measured anew.
        """
        if record.get("split") == "val":
            return bool(record["step"] <= step and record["step"] != self._stopped_at)
        return bool(record["step"] <= min(step, 0))


def validation_is_due(trainer: Any, step: int) -> bool:
    """Return whether a run that is not stopped validates after a rollout.

    Args:
        trainer: with its loaders.
        step: rollouts finished.
    """
    batches, every = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if batches is None:  # by the clock
        return True
    if every is None:
        return bool(step % batches == 0)
    epoch, batch = divmod(step - 1, trainer.num_training_batches)
    return bool((epoch + 1) % every == 0 and (batch + 1) % min(batches, trainer.num_training_batches) == 0)


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
