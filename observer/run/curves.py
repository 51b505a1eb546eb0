"""Curves of figures that some steps lack: a point only where there is a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def log_present(trainer: Any, figures: Mapping[str, float], step: int) -> None:
    """Log the figures that a step has, on the first rank, as often as the trainer logs.

    Not by ``log_dict``: Lightning writes the last value of a figure again at every step, to the end of the
    epoch, and takes ten times as long for many. A resumed run would not repeat them.

    Args:
        trainer: of the run.
        figures: by name.
        step: rollouts finished before it.
    """
    every = trainer.log_every_n_steps  # 0 for never
    if figures and trainer.is_global_zero and every and (step + 1) % every == 0:
        for logger in trainer.loggers:
            logger.log_metrics(figures, step)
