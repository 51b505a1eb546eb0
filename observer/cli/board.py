"""The TensorBoard logger of a run: its events lie in the run directory, so that a run has its own name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

from observer.run.files import writing

FORMER = "tensorboard"
"""The folder in the run directory that formerly held the events."""


class Board(TensorBoardLogger):
    """The TensorBoard logger of a run; an error of writing names the directory.

    ``tensorboard --logdir runs`` lists runs by their folders below ``runs``. A run that was started when
    events had a folder of their own goes on there. No ``hparams.yaml`` is written: ``config.yaml`` says it.

    Args:
        run_dir: of the run.
        step: from which curves are written anew: points at this step and later ones, of an earlier process
            that was killed, are not shown.
    """

    def __init__(self, run_dir: str | Path, step: int = 0) -> None:
        version = FORMER if (Path(run_dir) / FORMER).is_dir() else ""
        super().__init__(run_dir, name="", version=version, default_hp_metric=False, purge_step=step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures at a step."""
        with writing(Path(self.log_dir)):
            super().log_metrics(metrics, step)

    def save(self) -> None:
        """Flush logged figures to the operating system."""
        with writing(Path(self.log_dir)):
            self.experiment.flush()
