"""When the checkpoints of a run are written: ``last.ckpt`` and ``best.ckpt``.

A run that goes on from one takes the same steps and the same validations as a run that was never stopped. The
content of a checkpoint is Lightning's.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Checkpoint,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn

from observer.policy.allocation import return_freed_memory
from observer.refusal import refuse_outside
from observer.run.checkpoints import FOLDER
from observer.run.files import causes, link_file, sync_folder
from observer.run.waiting import waiting
from observer.types import EngineError


class Last(Checkpoint):
    """Keeps ``last.ckpt``, from which a run goes on: every n steps, after every validation, and at the end.

    The one before stays as ``previous.ckpt``, for when the last is damaged later on. The one before that goes
    before a new one is written, so that the disk never holds more than these two. After a validation with the
    best figure so far it is a second name of ``best.ckpt``, which has just been written and holds the same.

    It saves between rollouts only. A checkpoint that falls on a validation is written when that has ended,
    because Lightning does not make up for a validation that was due when a checkpoint was written. (Stock
    ``ModelCheckpoint`` loses one if the run is killed there, and its ``every_n_train_steps`` does not save at
    the end of training.)

    When an engine fails it saves the state from before the step, of which nothing was applied, or from before
    the validation, which is repeated then. Not where the run could not go on from there as it would have: in
    a validation after the last step or of averaged weights, or where other ranks do not know of the failure.

    Args:
        path: the file.
        every_n_steps: optimizer steps from one to the next; written at the first end of a rollout that
            reaches a multiple of it.
        best: writes ``best.ckpt``, right before this callback; None where nothing does.
    """

    def __init__(self, path: Path, every_n_steps: int, best: Best | None = None) -> None:
        refuse_outside("checkpoints.every_n_steps", every_n_steps, 1)
        self.path = path
        self.best = best
        self.every_n_steps = every_n_steps
        self.requested = False
        """Whether to save at the next occasion, as if n steps were over."""
        self._saved = 0
        self._began = False
        self._previous = path.with_name("previous.ckpt")
        self._resumed_from: Path | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from where the run starts or goes on; save a start, so that there is one to resume."""
        self.requested = False
        self._saved, self._began = trainer.global_step, True
        self._resumed_from = None if trainer.ckpt_path is None else Path(trainer.ckpt_path).resolve()
        if not trainer.global_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._replace(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save when it is time, unless a validation comes first."""
        reached = trainer.global_step // self.every_n_steps > self._saved // self.every_n_steps
        stops = trainer.should_stop and trainer.fit_loop._can_stop_early  # at its end the epoch would be over
        due = reached or self.requested or stops or _average_follows(trainer)
        if due and not _validation_follows(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the validation: the best score so far is part of the state."""
        if trainer.state.fn is TrainerFn.FITTING and not trainer.sanity_checking:
            self._save(trainer, self.best)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state, also where an average has just taken the place of the weights."""
        if any(isinstance(each, StochasticWeightAveraging) for each in trainer.callbacks):  # type: ignore[attr-defined]
            self._saved = -1
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save a run whose engine has failed."""
        failed = next((each for each in causes(exception) if isinstance(each, EngineError)), None)
        alone = trainer.world_size > 1 and failed is not None and failed.shared_by is None
        trains = self._began and trainer.state.fn is TrainerFn.FITTING
        if failed is None or not trains or alone or _validation_is_lost(trainer):
            return
        try:
            _put_back(trainer)
            self._save(trainer)
        except Exception as error:  # must not hide why the run ends, of which it may be a consequence
            rank_zero_warn(f"no checkpoint of step {trainer.global_step} could be saved: {error}")

    def _save(self, trainer: Trainer, twin: Best | None = None) -> None:
        if trainer.global_step > self._saved and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._replace(trainer, twin)
            self._saved = trainer.global_step

    def _replace(self, trainer: Trainer, twin: Best | None = None) -> None:
        last = self.path.resolve()
        followed = self._resumed_from == last  # by the state that is saved now; and it can be read
        if trainer.is_global_zero and followed and not link_file(self.path, self._previous):
            self.path.replace(self._previous)  # there are no hard links
        with waiting("a checkpoint is saved, and ranks meet", self.path.name):
            if twin is None or not twin.saved_now(trainer) or not self._linked(trainer, twin):
                return_freed_memory()
                trainer.save_checkpoint(self.path, weights_only=False)
        if trainer.is_global_zero and not followed and self._resumed_from != self._previous.resolve():
            self._previous.unlink(missing_ok=True)  # of a run that this one does not go on from
        self._resumed_from = last

    def _linked(self, trainer: Trainer, twin: Best) -> bool:
        """Give the file of the best this name too; return, on all ranks, whether that could be done."""
        linked = trainer.is_global_zero and link_file(Path(twin.best_model_path), self.path)
        if linked:
            sync_folder(self.path.parent)
        return bool(trainer.strategy.broadcast(linked))


def _validation_follows(trainer: Trainer) -> bool:
    """Return whether Lightning will validate between this batch and the next."""
    loop = trainer.fit_loop.epoch_loop
    data_fetcher = trainer.fit_loop._data_fetcher
    assert data_fetcher is not None
    if not loop._should_check_val_fx(data_fetcher):
        return False
    loop.val_loop.setup_data()  # the loop itself would do so next; the second time does nothing
    return not loop.val_loop.skip


def _put_back(trainer: Trainer) -> None:
    """Set Lightning's counts to what they were before the batch, or the validation, that has not ended."""
    loop = trainer.fit_loop.epoch_loop
    batches: Any = loop.batch_progress
    validated: Any = loop.val_loop.batch_progress
    if batches.current.ready > batches.current.processed:
        batches.is_last_batch = False
    for counts in (batches.total, batches.current):
        counts.ready = counts.started = counts.processed
    if trainer.validating:  # one that has begun, and no batch of it is over: the only kind that is repeated
        for counts in (validated.total, validated.current):
            counts.ready = counts.started = 1
            counts.processed = counts.completed = 0


def _validation_is_lost(trainer: Trainer) -> bool:
    """Return whether nothing that is saved now would make a run repeat the validation that is going on.

    After the last step none would, and while an average stands in for them, the weights that train are not
    those of the model.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averages = any(isinstance(callback, WeightAveraging) for callback in callbacks)
    return trainer.validating and (averages or 0 <= trainer.max_steps <= trainer.global_step)


def _average_follows(trainer: Trainer) -> bool:
    """Return whether this batch may be the last, and an average takes the place of the weights then.

    What is saved after that could not go on: the weights that trained are gone.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averages = any(isinstance(callback, WeightAveraging) for callback in callbacks)
    return averages and (trainer.should_stop or trainer.fit_loop.epoch_loop._is_training_done)


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

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        return_freed_memory()
        with waiting("a checkpoint is saved, and ranks meet", Path(filepath).name):
            super()._save_checkpoint(trainer, filepath)

    def saved_now(self, trainer: Trainer) -> bool:
        """Return whether the file holds the present step, after the validation that is just over."""
        return bool(self._last_checkpoint_saved) and self._last_global_step_saved == trainer.global_step

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the score to beat if its file is here, also when the run directory was moved."""
        path, score = self.format_checkpoint_name({}), state_dict["best_model_score"]
        if score is None:
            return
        if not isinstance(score, torch.Tensor) or score.numel() != 1 or not math.isfinite(score):
            raise ValueError(f"best_model_score is {repr(score)[:80]}")
        if Path(path).is_file():
            scores = {"best_model_score": score, "kth_value": score, "best_k_models": {path: score}}
            here = {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
            super().load_state_dict({**scores, **here, "last_model_path": ""})


def checkpoint_callbacks(run_dir: Path, every_n_steps: int, validates: bool) -> list[Checkpoint]:
    """Return the callbacks that write a run's checkpoints, below ``checkpoints`` in the run directory.

    Args:
        run_dir: the run directory.
        every_n_steps: optimizer steps from one ``last.ckpt`` to the next.
        validates: whether there are held-out problems to validate on, and so a ``best.ckpt``.

    Raises:
        RefusedError: ``every_n_steps`` is not at least 1.
    """
    best = Best(run_dir / FOLDER / "best.ckpt") if validates else None
    last = Last(run_dir / FOLDER / "last.ckpt", every_n_steps, best)
    # Best first: the last checkpoint after a validation must remember its score.
    return [last] if best is None else [best, last]
