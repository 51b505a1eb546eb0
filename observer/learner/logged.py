"""What a learner tells its loggers: options at the start, one row of figures per step, held-out figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import lightning
from lightning.pytorch.trainer.states import TrainerFn

from observer.run.curves import Curves, log_now, tell_callbacks
from observer.run.hyperparameters import flat
from observer.run.loggers import send_hyperparameters, show_charts, tell_lost_calls
from observer.strategies import described

CHARTS = {
    "reward": ("train/reward",),
    "held-out accuracy": ("val/accuracy", "val/sampled_accuracy"),
    "format": ("train/format", "val/format"),
    "length in tokens": ("train/length", "val/length"),
    "groups without signal": ("train/zero_signal",),
    "KL": ("train/kl",),
    "chains of thought": tuple(
        f"zoom_chains/{name}" for name in ("well_formed", "reused", "follows", "true_facts")
    ),
    "tokens per second": ("train/tokens_per_second",),
}
"""The main curves of a run by the titles of their charts. A chart of curves that a run lacks is left out."""


def held_out_curve(prefix: str, figure: str) -> str:
    """Return the name of the curve of a held-out figure; those by level are a group of their own.

    >>> held_out_curve("val", "sampled_level_3")
    'val_level/sampled_3'
    """
    sampled, _, level = figure.rpartition("level_")
    return f"{prefix}_level/{sampled}{level}" if level.isdigit() else f"{prefix}/{figure}"


class LoggedModule(lightning.LightningModule):
    """A module whose figures, and those of the callbacks, are logged in one call per step.

    A base and no collaborator: ``self.log`` and the hooks in which it logs belong to the module.
    """

    charts: ClassVar[Mapping[str, Sequence[str]]] = CHARTS
    """The first page in TensorBoard: title of a chart -> its curves. ``charts`` of callbacks follow."""

    def __init__(self) -> None:
        super().__init__()
        self.curves = Curves()
        """The figures of the step that is being taken."""
        self.hyperparameters: Mapping[str, str | float] = {}
        """The options that loggers are given; the command line sets them, else they are described."""

    def described_options(self) -> dict[str, str | float]:
        """Return the options of learner, data and trainer, for a run that was set up in Python."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        own: Any = self
        rows = {part: described(rows) for part, rows in data.formats.items() if rows is not None}
        options = {
            "model": {"policy": vars(own.spec), "group_size": own.sampling.group_size, **own.recipe()},
            "data": {
                **rows,
                "prompts_per_step": data.prompts_per_step,
                "steps_per_epoch": data.steps_per_epoch,
            },
            "curriculum": {"schedule": described(data.schedule)},
            "trainer": {"max_steps": self.trainer.max_steps, "precision": self.trainer.precision},
        }
        return flat(options)

    def on_train_start(self) -> None:
        """Give the loggers the options of the run, and TensorBoard a page of the main curves."""
        if self.trainer.is_global_zero:
            rows, loggers = self.trainer.datamodule.formats, self.trainer.loggers  # type: ignore[attr-defined]
            absent: tuple[str, ...] = ("val/",) if rows["val"] is None else ()
            if "kl" not in getattr(getattr(self, "objective", None), "figures", ()):
                absent += ("train/kl",)
            known = dict(self.charts)
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                known |= getattr(callback, "charts", {})
            charts = {
                title: there
                for title, names in known.items()
                if (there := [name for name in names if not name.startswith(absent)])
            }
            options = self.hyperparameters or self.described_options()
            send_hyperparameters(loggers, options)
            show_charts(loggers, "the run", charts)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the figures of the step: the callbacks have added theirs by now."""
        self.curves.log(self.trainer)

    def log_step(
        self,
        figures: Mapping[str, float],
        watched: Sequence[str] = (),
        sparse: Mapping[str, float] | None = None,
    ) -> None:
        """Log figures of the step that has just been finished, equal on all ranks.

        Args:
            figures: those that every step has, by the names of their curves.
            watched: names of those that the progress bar shows.
            sparse: those that some steps lack; they are curves only.
        """
        for name, value in figures.items():
            if name in watched:
                self.log(name, value, prog_bar=True, logger=False, rank_zero_only=True, batch_size=1)
        tell_callbacks(self.trainer, figures)
        step = self.trainer.datamodule.step - 1  # type: ignore[attr-defined]
        self.curves.add(self.trainer, {**figures, **(sparse or {})}, step)

    def log_held_out(self, prefix: str, figures: Mapping[str, float], step: int) -> None:
        """Log held-out figures, equal on all ranks: in a fit as curves, else as Lightning does.

        Args:
            prefix: ``val`` or ``test``.
            figures: by name.
            step: rollouts finished before the last step.
        """
        named = {held_out_curve(prefix, name): value for name, value in figures.items()}
        fits = self.trainer.state.fn is TrainerFn.FITTING
        for name, value in named.items():
            self.log(name, value, prog_bar=name == f"{prefix}/accuracy", logger=False if fits else None)
        if fits and not self.trainer.sanity_checking:
            self.curves.log(self.trainer)
            shown = {name: value for name, value in named.items() if not name.endswith("problems")}
            log_now(self.trainer, shown, step)

    def teardown(self, stage: str) -> None:
        """Tell what loggers have lost."""
        self.curves.log(self.trainer)
        tell_lost_calls(self.trainer.loggers)
