"""Times a step of a fit on this machine: two rollouts with their updates, in a folder that goes again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Any

import lightning

from observer.strategies import import_path


class StepSeconds(lightning.Callback):
    """Notes the seconds of each step."""

    taken: list[float] = []  # noqa: RUF012  # of the last fit; a callback of a command line is known by its class

    def on_train_batch_start(self, *_: Any) -> None:
        """Begin."""
        self._began = perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """End."""
        self.taken.append(perf_counter() - self._began)


def timed_step(words: list[str], run: Callable[[list[str]], None]) -> float:
    """Return the seconds of the second of two steps: in the first, kernels are chosen and memory is taken.

    Args:
        words: the options of a fit.
        run: runs a fit by its command line.

    Raises:
        RefusedError: the fit is refused.
    """
    StepSeconds.taken.clear()
    with tempfile.TemporaryDirectory() as folder:
        short = [f"--run_dir={folder}/run", "--trainer.fast_dev_run=2", "--data.val=null", "--data.test=null"]
        watched = f"--trainer.callbacks+={import_path(StepSeconds)}"
        run(["fit", *words, *short, "--report.export=false", watched])
    return StepSeconds.taken[-1]
