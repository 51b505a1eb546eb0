"""Ctrl-C, SIGTERM, SIGUSR1: a run stops between two rollouts, after saving, and its exit code says so."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from observer.callbacks.checkpoints import Last
from observer.run.other_ranks import waiting_for_ranks
from observer.types import RefusedError

MESSAGE = b"\nfinishing this step, then saving; press Ctrl-C again to stop at once\n"


class GracefulStop(Callback):
    """Stops a run between two rollouts after SIGINT, SIGTERM or SIGUSR1, when ``Last`` has saved it.

    The step under way is finished, and the validation under way or due. Then the process ends with exit code
    130 (SIGINT), 143 (SIGTERM) or 138 (SIGUSR1, which clusters may send ahead of the end). Of several ranks
    all stop at the same step; those above 0 exit with 0. A second SIGINT stops at once, saves nothing more,
    and exits with 130. A run whose last step is over is not stopped by the first.
    """

    def __init__(self) -> None:
        self.interrupted: int | None = None
        """The signal that the run stops for, once all ranks know of it."""
        self._received = 0
        self._last: Last

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning from requeueing a SLURM job itself.

        On SIGUSR1 it saves in the middle of a step, which no run can go on from exactly, beside the run's
        checkpoints, and requeues at once. The batch script requeues, by the exit code: docs/runs.md.
        """
        environment = trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment):
            environment.auto_requeue = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning, which has just put in its own handlers.

        On SIGTERM those do not save, exit with 0, and start a collective in the middle of whatever is going
        on. When ``fit`` ends or raises, Lightning puts back what it had found, so nothing is undone here.

        Raises:
            RefusedError: the trainer has no ``Last``.
            SystemExit: SIGTERM has arrived already; there is nothing to save.
        """
        last = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Last)]
        if not last:
            raise RefusedError(
                "GracefulStop needs the callback Last, which saves; add checkpoint_callbacks(...)"
            )
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM)
        self._last = last[0]
        self._received, self.interrupted = 0, None
        if threading.current_thread() is threading.main_thread():
            free = signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL  # else somebody uses it otherwise
            for signum in (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if free else [])):
                signal.signal(signum, lambda signum, _: self._receive(trainer, signum))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Ask for a checkpoint when a signal has arrived."""
        self._agree(trainer)
        self._last.requested = self.interrupted is not None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note of a signal that arrived during validation; after that there is a checkpoint anyway."""
        if trainer.state.fn is TrainerFn.FITTING and not trainer.sanity_checking:
            self._agree(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop here: at the end of the batch before, its figures had not reached the loggers.

        Raises:
            SystemExit: a signal has arrived, and the run is saved.
        """
        if self.interrupted is not None:
            # Lightning kills rank 0 when a process that it has started ends with anything but 0.
            raise SystemExit(128 + self.interrupted if trainer.is_global_zero else 0)

    def _receive(self, trainer: Trainer, signum: int) -> None:
        if not self._received:
            self._received = signum
            if trainer.is_global_zero:
                os.write(2, MESSAGE)  # print() may be the very thing that was interrupted
        elif signum == signal.SIGINT:
            if (launcher := trainer.strategy.launcher) is not None:
                launcher.kill(signal.SIGKILL)
            raise SystemExit(128 + signum)  # of a KeyboardInterrupt Lightning makes exit code 1

    def _agree(self, trainer: Trainer) -> None:
        received = torch.tensor(self._received, device=trainer.strategy.root_device)
        with waiting_for_ranks("signals to stop", trainer.world_size):
            self.interrupted = int(trainer.strategy.reduce(received, reduce_op="max")) or None
