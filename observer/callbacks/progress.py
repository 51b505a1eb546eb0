"""The progress of a run on the terminal: one bar over all its steps, with the figures to watch."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

SHOWN = {
    "train/reward": "reward {:.2f}",
    "train/accuracy": "acc {:.2f}",
    "train/format": "fmt {:.2f}",
    "train/length": "len {:.0f}",
    "zoom_seconds/step": "{:.2f} s/step",
    "train/loss": "loss {:.3f}",
    "val/accuracy": "val {:.3f}",
}
LINE_EVERY = 10
"""Steps from one line to the next where there is no terminal to draw a bar on."""


class RunProgress(ProgressBar):
    """One bar over the rollouts of a fit; without a terminal, a line every ten steps."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console()
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._enabled = True

    def disable(self) -> None:
        """Show nothing: Lightning asks for it on all ranks but one."""
        self._enabled = False

    def enable(self) -> None:
        """Show what ``disable`` hid."""
        self._enabled = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw the bar, at the step where the run starts or goes on."""
        if not (self._enabled and self._console.is_terminal):
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"),
        )
        self._progress = Progress(*columns, console=self._console, refresh_per_second=4)
        self._task = self._progress.add_task(
            "step", total=pl_module.horizon, completed=pl_module.data.step, figures=""
        )
        self._progress.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Show the finished step."""
        self._show(trainer, pl_module, line=pl_module.data.step % LINE_EVERY == 0)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show that the run is validating."""
        if self._progress is not None:
            self._progress.update(self._task, description="validating")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show steps again, and the figures of the validation."""
        if self._progress is not None:
            self._progress.update(self._task, description="step")
            self._show(trainer, pl_module, line=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Leave the finished bar on the terminal."""
        self._stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the terminal in order."""
        self._stop()

    def _show(self, trainer: lightning.Trainer, pl_module: Any, line: bool) -> None:
        if not self._enabled:
            return
        of_rewards = "train/reward" in trainer.callback_metrics
        texts = [
            text.format(float(trainer.callback_metrics[name]))
            for name, text in SHOWN.items()
            if name in trainer.callback_metrics and not (name == "train/loss" and of_rewards)
        ]
        stage = pl_module.data.stage
        figures = " ".join([*([] if stage is None else [f"({stage})"]), *texts])
        if self._progress is not None:
            self._progress.update(self._task, completed=pl_module.data.step, figures=figures)
        elif line:
            self._console.print(f"step {pl_module.data.step}/{pl_module.horizon} {figures}", soft_wrap=True)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
