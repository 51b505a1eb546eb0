"""A callback that measures what the parts of a fit take, for the plan of a grid."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning

from observer.run.files import write_json

FILE = "timing.json"


class Timing(lightning.Callback):
    """Writes ``timing.json`` to the run directory: seconds of each step, of a validation, of a test.

    It comes after the callbacks of every run, so a step includes what they write, and the test after training
    includes the export, if there is one.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._began: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {"step": [], "validation": [], "test": []}

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock of a step."""
        self._began["step"] = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop the clock of a step."""
        self._end("step")

    def on_validation_start(self, *_: Any) -> None:
        """Start the clock of a validation."""
        self._began["validation"] = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        """Stop the clock of a validation."""
        self._end("validation")

    def on_train_end(self, *_: Any) -> None:
        """Start the clock of the test, which follows the training."""
        self._began["test"] = time.perf_counter()

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop the clock of the test, and write all."""
        self._end("test")
        if trainer.is_global_zero:
            write_json(Path(trainer.default_root_dir) / FILE, self.seconds)

    def _end(self, name: str) -> None:
        self.seconds[name].append(time.perf_counter() - self._began[name])
