"""Checkpoints: how they are written and read, when they are written, and which one a run goes on from.

A file that is there is whole, whenever the process was killed; and a run that goes on from one takes the same
steps and the same validations as a run that was never stopped. What is in them is Lightning's business.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from observer.refusal import refuse_outside
from observer.run.checkpoints import FOLDER
from observer.run.files import TEMPORARY, temporary_name, whole_file, writing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one move, so that the one before is whole until the new one is.

    Lightning's own writes to the folder for temporary files and moves from there: across file systems that is
    a copy, and a kill leaves half a file under the final name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write beside the target, make sure it is on the disk, then rename over the target.

        Args:
            checkpoint: what to save.
            path: the target, on a local or mounted file system.
            storage_options: must be None.

        Raises:
            TypeError: there are storage options.
            WriteError: the disk is full, for example; the file before is as it was.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} takes no storage_options, got {storage_options!r}")
        target = Path(path)
        with whole_file(target, "wb") as file:
            _remove_stale(target.parent)
            writer = _Writer(file)
            try:
                torch.save(checkpoint, cast(BinaryIO, writer))
            except RuntimeError as error:
                raise (writer.error or error) from error
        with writing(target):
            _sync_folder(target.parent)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and builtins, and nothing that would run code.

        Args:
            path: the file.
            map_location: the device its tensors go to.
            weights_only: taken as True, whatever it is.
        """
        return super().load_checkpoint(path, map_location=map_location, weights_only=True)


class _Writer:
    """Remembers why a write failed: ``torch.save`` only says that its file is shorter than it should be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _remove_stale(folder: Path) -> None:
    for path in folder.iterdir():
        name = TEMPORARY.fullmatch(path.name)
        if name is not None and not _alive(int(name[1])):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # there, and another user's
        return True
    return True


def _rename_copy(path: Path, target: Path) -> None:
    """Give a file a second name, in place of what has it; on a disk without links, only that name."""
    temporary = temporary_name(target)
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        os.replace(path, target)
    else:
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # it is still there where the target was this very file already


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Last(Checkpoint):
    """Keeps ``last.ckpt``, from which a run goes on: every n steps, after every validation, and at the end.

    The one before stays as ``previous.ckpt``, for when the last is damaged later on. The one before that goes
    before a new one is written, so that the disk never holds more than these two.

    It saves between rollouts only. A checkpoint that falls on a validation is written when that has ended,
    because Lightning does not make up for a validation that was due when a checkpoint was written. (Stock
    ``ModelCheckpoint`` loses one if the run is killed there, and its ``every_n_train_steps`` does not save at
    the end of training.)

    Args:
        path: the file.
        every_n_steps: optimizer steps from one to the next; written at the first end of a rollout that
            reaches a multiple of it.
    """

    def __init__(self, path: Path, every_n_steps: int) -> None:
        refuse_outside("checkpoints.every_n_steps", every_n_steps, 1)
        self.path = path
        self.every_n_steps = every_n_steps
        self.requested = False
        """Whether to save at the next occasion, as if n steps were over."""
        self._saved = 0
        self._previous = path.with_name("previous.ckpt")
        self._resumed_from: Path | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from where the run starts or goes on; save a start, so that there is one to resume."""
        self.requested = False
        self._saved = trainer.global_step
        self._resumed_from = None if trainer.ckpt_path is None else Path(trainer.ckpt_path).resolve()
        if not trainer.global_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._replace(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save when it is time, unless a validation comes first."""
        reached = trainer.global_step // self.every_n_steps > self._saved // self.every_n_steps
        if (reached or self.requested) and not _validation_follows(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the validation has shown: the best score so far is part of the state."""
        if trainer.state.fn is TrainerFn.FITTING and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step > self._saved and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._replace(trainer)
            self._saved = trainer.global_step

    def _replace(self, trainer: Trainer) -> None:
        last = self.path.resolve()
        followed = self._resumed_from == last  # by the state that is saved now; and it can be read
        if trainer.is_global_zero and followed:
            _rename_copy(self.path, self._previous)
        trainer.save_checkpoint(self.path, weights_only=False)
        if trainer.is_global_zero and not followed and self._resumed_from != self._previous.resolve():
            self._previous.unlink(missing_ok=True)  # of a run that this one does not go on from
        self._resumed_from = last


def _validation_follows(trainer: Trainer) -> bool:
    """Tell whether Lightning will validate between this batch and the next."""
    loop = trainer.fit_loop.epoch_loop
    data_fetcher = trainer.fit_loop._data_fetcher
    assert data_fetcher is not None
    if not loop._should_check_val_fx(data_fetcher):
        return False
    loop.val_loop.setup_data()  # the loop itself would do so next; the second time does nothing
    return not loop.val_loop.skip


class Best(ModelCheckpoint):
    """Keeps ``best.ckpt``: the whole state after the validation with the highest figure so far.

    Args:
        path: the file.
        monitor: the figure's name in the logs.
    """

    def __init__(self, path: Path, monitor: str = "val/accuracy") -> None:
        super().__init__(
            dirpath=path.parent,
            filename=path.stem,
            monitor=monitor,
            mode="max",
            save_top_k=1,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            # A run that goes on from a checkpoint of the epoch's end may count its log steps wrongly.
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, without a warning that it is in use: a resumed run's always is."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the score to beat if its file is here, also when the run directory was moved."""
        path, score = self.format_checkpoint_name({}), state_dict["best_model_score"]
        if score is not None and Path(path).is_file():
            here = {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
            super().load_state_dict(state_dict | here | {"best_k_models": {path: score}})


def checkpoint_callbacks(run_dir: Path, every_n_steps: int, validates: bool) -> list[Checkpoint]:
    """Return the callbacks that write a run's checkpoints, below ``checkpoints`` in the run directory.

    Args:
        run_dir: the run directory.
        every_n_steps: optimizer steps from one ``last.ckpt`` to the next.
        validates: whether there are held-out problems to validate on, and so a ``best.ckpt``.

    Raises:
        RefusedError: ``every_n_steps`` is not at least 1.
    """
    last = Last(run_dir / FOLDER / "last.ckpt", every_n_steps)
    # Best first: the last checkpoint after a validation must remember its score.
    return [Best(run_dir / FOLDER / "best.ckpt"), last] if validates else [last]
