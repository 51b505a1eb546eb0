"""Curves: the figures of a step, gathered from the learner and the callbacks and logged in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from observer.run.loggers import outlives


class Curves:
    """The figures of the step that is being taken.

    Lightning's own ``log_dict`` would write the last value of a figure again at every step to the end of the
    epoch, also at steps that lack it, and callbacks that log on their own make a call each. Here a step is
    one call, and a point is only where there is a figure.
    """

    def __init__(self) -> None:
        self._figures: dict[str, float] = {}
        self._step = 0

    def add(self, trainer: Any, figures: Mapping[str, float], step: int) -> None:
        """Gather figures of a step; those of another step that are still here are logged first.

        Args:
            trainer: of the run.
            figures: by name.
            step: rollouts finished before it.
        """
        if step != self._step:
            self.log(trainer)
        self._figures |= figures
        self._step = step

    def log(self, trainer: Any) -> None:
        """Log what was gathered, in one call for each logger, as often as the trainer logs."""
        figures, self._figures = self._figures, {}
        every = trainer.log_every_n_steps
        if every and ((self._step + 1) % every == 0 or trainer.should_stop):
            log_now(trainer, figures, self._step)


def log_now(trainer: Any, figures: Mapping[str, float], step: int) -> None:
    """Log figures in one call for each logger, on the first rank.

    Args:
        trainer: of the run.
        figures: by name.
        step: rollouts finished before them.
    """
    if not (figures and trainer.is_global_zero):
        return
    trainer.logged_metrics.update({name: torch.tensor(value) for name, value in figures.items()})
    for logger in trainer.loggers:
        with outlives(logger, f"the figures of step {step}"):
            logger.log_metrics(dict(figures), step)
            logger.save()


def tell_callbacks(trainer: Any, figures: Mapping[str, float]) -> None:
    """Make figures of a step known to callbacks that watch one: they are in ``trainer.callback_metrics``.

    Lightning's own ``log`` ends there too, and moves a metric of its own from device to device for each
    figure and step on the way: of all that a step does beside the model, that took longest.

    Args:
        trainer: of the run.
        figures: by name.
    """
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})


def add_figures(
    trainer: Any, module: Any, figures: Mapping[str, float], step: int, over_ranks: bool = False
) -> None:
    """Add figures of a callback to the curves of a step; they are among ``trainer.callback_metrics`` too.

    Args:
        trainer: of the run.
        module: that is trained; one that gathers no curves logs them by ``log_dict``.
        figures: by name.
        step: rollouts finished before it.
        over_ranks: whether they are those of this rank, to be averaged over all.
    """
    curves: Curves | None = getattr(module, "curves", None)
    if curves is None:
        module.log_dict(figures, sync_dist=over_ranks, on_step=True, on_epoch=False, batch_size=1)
        return
    if over_ranks:
        figures = module.over_ranks.reduce(dict(figures), "mean")
    tell_callbacks(trainer, figures)
    curves.add(trainer, figures, step)
