"""A file of lines that a callback writes each step. Where it cannot be written, training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.utilities import rank_zero_warn

from observer.run.jsonl_log import JsonlLog


class StepLog(lightning.Callback):
    """JSON lines of the steps of a run, written by the first rank; a step's lines are written all or none.

    A resumed run goes on with the file: lines that its checkpoint does not know of are cut. When lines cannot
    be written, on a full disk for example, training goes on unchanged; one warning says so at once, and
    one at the end how many lines are lost.
    """

    def __init__(self, name: str) -> None:
        """Name the file; nothing is opened.

        Args:
            name: of the file in the run directory.
        """
        self.lost = 0
        """Lines that could not be written."""
        self._name = name
        self._log: JsonlLog | None = None
        self._warned = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the log and cut the steps still to come: all of it for a fresh run."""
        self.open(trainer, pl_module.data.step)

    def open(self, trainer: lightning.Trainer, step: int) -> None:
        """Open the log and cut what the run does not know of.

        Args:
            trainer: of the run.
            step: rollouts finished.
        """
        self._log = None
        if not trainer.is_global_zero:
            return
        log = JsonlLog(Path(trainer.default_root_dir) / self._name)
        try:
            log.keep(lambda record: self.stays(record, step))
        except OSError as error:
            self._warn(error)  # and write nothing: a step would be there twice
        else:
            self._log = log

    def stays(self, record: dict[str, Any], step: int) -> bool:
        """Return whether a line stays when the run goes on.

        Args:
            record: the line; its ``step`` is an integer.
            step: rollouts finished.
        """
        return bool(record["step"] < step)

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Write the lines of a step, or count them as lost. Only ever called on the first rank."""
        try:
            if self._log is not None:
                self._log.append(lines)
                return
        except OSError as error:
            self._warn(error)
        self.lost += len(lines)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush the lines before a checkpoint that counts on them: a power cut then makes no gap."""
        try:
            if self._log is not None:
                self._log.sync()
        except OSError as error:
            self._warn(error)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the log after a fit."""
        if stage == "fit":
            self._close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the log."""
        self._close()

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()
        if self.lost:
            rank_zero_warn(f"{self._name}: {self.lost} lines are lost, because they could not be written")

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            rank_zero_warn(
                f"{self._name} cannot be written: {error}. Training goes on without the lines that are lost"
            )
        self._warned = True
