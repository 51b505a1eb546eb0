"""Which options of the trainer go with this training; others are refused with what to write instead.

`docs/lightning.md` says of every option whether it works here, is refused, or has another name. A step is
Lightning's manual optimization over a rollout, and rows come from the data module alone, so a few of the
trainer's options would be ignored without a word or change something else than they say.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    SpikeDetection,
    ThroughputMonitor,
    Timer,
)
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from observer.data.module import LadderDataModule
from observer.refusal import refuse_outside
from observer.rollout import Engine
from observer.types import RefusedError

PRECISIONS = ("32-true", "bf16-mixed")
"""Weights are kept in float32 and losses are not scaled."""

OPTIONS: dict[str, tuple[Callable[[lightning.Trainer], Any], str]] = {
    "gradient_clip_val": (
        lambda trainer: trainer.gradient_clip_val,
        "gradients are clipped by model.gradient_clip",
    ),
    "gradient_clip_algorithm": (
        lambda trainer: trainer.gradient_clip_algorithm and trainer.gradient_clip_algorithm.value,
        "gradients are clipped by their norm; set model.gradient_clip alone",
    ),
    "accumulate_grad_batches": (
        lambda trainer: None if trainer.accumulate_grad_batches == 1 else trainer.accumulate_grad_batches,
        "a step is cut into passes by model.micro_batch_tokens (or model.micro_batch), and its size is "
        "data.prompts_per_step",
    ),
    "overfit_batches": (
        lambda trainer: trainer.overfit_batches or None,  # type: ignore[attr-defined]
        "a step draws its rows from all of data.train: name as few rows there (and in data.val) as "
        "data.prompts_per_step, and every step draws the same",
    ),
    "limit_train_batches": (
        lambda trainer: None if _whole(trainer) else trainer.limit_train_batches,
        "rows are drawn step by step: the length of a run is trainer.max_steps, and that of an epoch, which "
        "is the time between validations, data.steps_per_epoch",
    ),
    "barebones": (
        lambda trainer: trainer.barebones or None,
        "it would switch off the figures of a step, which other parts read; for its speed set "
        "trainer.logger and trainer.enable_progress_bar to false",
    ),
    "model_registry": (
        lambda trainer: trainer._model_registry,
        "no checkpoint of a run is uploaded; the trained model is in export/ of the run directory",
    ),
    "val_check_interval": (
        lambda trainer: _time(trainer),
        "a time would validate at other steps in every run, and not on all processes at once; give a number "
        "of rollouts, or set data.steps_per_epoch",
    ),
}
"""Option -> what was given for it, None where that is no matter, and why it is refused."""

CALLBACKS: dict[type[lightning.Callback], str] = {
    GradientAccumulationScheduler: "a step is cut into passes by model.micro_batch_tokens, and its size is "
    "data.prompts_per_step",
    BatchSizeFinder: "set model.micro_batch_tokens, on which memory depends, by hand",
    LearningRateFinder: "the loss of a policy gradient says nothing of its progress; set "
    "model.optimizer.init_args.lr by hand",
    BaseFinetuning: "what trains is the same in all steps; choose it by model.policy.freeze_vision or "
    "model.policy.lora",
    ModelPruning: "completions are drawn from the weights as they are, without its masks; leave it out",
    OnExceptionCheckpoint: "it saves in the middle of a step, from which no run goes on; set "
    "checkpoints.every_n_steps lower instead",
    SpikeDetection: "it needs a loss that falls, which a policy gradient has not; watch train/reward",
}
"""Callback, or base of it -> why it is refused."""


LOGGING = (LearningRateMonitor, DeviceStatsMonitor, ThroughputMonitor)
"""Callbacks that only log."""


def _whole(trainer: lightning.Trainer) -> bool:
    limit = trainer.limit_train_batches
    return bool(trainer.fast_dev_run) or (isinstance(limit, float) and limit == 1)  # type: ignore[attr-defined]


def _time(trainer: lightning.Trainer) -> timedelta | None:
    seconds: float | None = trainer._val_check_time_interval  # type: ignore[attr-defined]
    return None if seconds is None else timedelta(seconds=seconds)


def refuse_trainer_options(trainer: lightning.Trainer, engine: Engine) -> None:
    """Refuse what of a trainer does not go with this training, before its data is opened.

    Args:
        trainer: with a data module attached.
        engine: draws the completions.

    Raises:
        RefusedError: names the option, its value and what to write instead.
    """
    if not isinstance(getattr(trainer, "datamodule", None), LadderDataModule):
        raise RefusedError(
            "the trainer has no LadderDataModule; pass one: trainer.fit(learner, datamodule=...)"
        )
    for name, (given, mend) in OPTIONS.items():
        if (value := given(trainer)) is not None:
            raise RefusedError(f"trainer.{name} is {value}; {mend}")
    if trainer.precision not in PRECISIONS:
        raise RefusedError(
            f"trainer.precision is {trainer.precision}; weights are kept in float32 and losses are not "
            f"scaled: use {' or '.join(PRECISIONS)}"
        )
    _refuse_lengths(trainer)
    _refuse_devices(trainer, engine)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        _refuse_callback(trainer, callback)


def _refuse_callback(trainer: lightning.Trainer, callback: lightning.Callback) -> None:
    name = type(callback).__name__
    for refused, mend in CALLBACKS.items():
        if isinstance(callback, refused):
            callback.on_exception = lambda *_: None  # type: ignore[method-assign]  # nothing is there to save
            raise RefusedError(f"trainer.callbacks has {name}; {mend}")
    if isinstance(callback, ModelCheckpoint) and callback.save_on_exception:
        raise RefusedError(f"{name}.save_on_exception is True; {CALLBACKS[OnExceptionCheckpoint]}")
    if isinstance(callback, Timer) and callback._duration is not None:
        refuse_outside("trainer.max_time (seconds)", callback._duration, above=0)
    if isinstance(callback, LOGGING) and not trainer.loggers:
        raise RefusedError(f"trainer.callbacks has {name} and trainer.logger is false; name a logger")


def _refuse_lengths(trainer: lightning.Trainer) -> None:
    """Refuse lengths of the run that are zero or contradict each other."""
    loop: Any = trainer.fit_loop
    for name, most, least in (
        ("steps", trainer.max_steps, loop.min_steps),
        ("epochs", trainer.max_epochs, loop.min_epochs),
    ):
        if most == 0:
            raise RefusedError(f"trainer.max_{name} is 0; it must be >= 1, or -1 for no limit")
        if least is not None and most is not None and 0 < most < least:
            raise RefusedError(f"trainer.min_{name} is {least}, above trainer.max_{name} {most}; lower it")
    if trainer.check_val_every_n_epoch is not None:
        refuse_outside(
            "trainer.check_val_every_n_epoch", trainer.check_val_every_n_epoch, 1, hint=", or null"
        )
    refuse_outside("trainer.val_check_interval", trainer.val_check_interval, above=0)


def _refuse_devices(trainer: lightning.Trainer, engine: Engine) -> None:
    strategy = type(trainer.strategy).__name__
    if trainer.strategy.root_device.type == "mps":
        raise RefusedError("trainer.accelerator is mps, which has no float64; use cpu or cuda")
    if isinstance(trainer.strategy, DeepSpeedStrategy):
        raise RefusedError(
            f"trainer.strategy is {strategy}, which keeps gradients to itself; use ddp or "
            f"ModelParallelStrategy"
        )
    if isinstance(trainer.strategy, FSDPStrategy):
        raise RefusedError(
            f"trainer.strategy is {strategy}, which knows no norm of all gradients; use "
            f"ModelParallelStrategy, its successor"
        )
    engine.refuse_ranks(trainer.world_size)
    sharded = isinstance(trainer.strategy, ModelParallelStrategy)
    if sharded and engine.weights == "shared":
        raise RefusedError(
            f"model.engine is {type(engine).__name__}, which samples from the policy's own module, and "
            f"trainer.strategy {strategy} cuts that over ranks; use an engine with its own "
            f"weights, such as VLLM"
        )


def refuse_unsharded(trainer: lightning.Trainer, policy: torch.nn.Module) -> None:
    """Refuse a strategy that leaves the exchange of gradients to sharding where nothing is sharded.

    Each rank would train on its own rows alone, and nobody would say so.

    Args:
        trainer: of the run.
        policy: with its weights.

    Raises:
        RefusedError: says what to do.
    """
    alone = isinstance(trainer.strategy, ModelParallelStrategy) and trainer.world_size > 1
    if alone and not any(hasattr(weight, "full_tensor") for weight in policy.parameters()):
        raise RefusedError(
            "trainer.strategy is ModelParallelStrategy, and the policy is not sharded: no rank would learn "
            "from the others' rows; use ddp"
        )


def refuse_portions(trainer: lightning.Trainer, data: LadderDataModule) -> None:
    """Refuse a validation that no epoch is long enough for, and portions of a held-out set with no batch.

    Args:
        trainer: of the run.
        data: with its rows.

    Raises:
        RefusedError: names both numbers and what to write instead.
    """
    interval, epochs = trainer.val_check_interval, trainer.check_val_every_n_epoch
    if isinstance(interval, int) and epochs is not None and interval > data.steps_per_epoch:
        raise RefusedError(
            f"trainer.val_check_interval is {interval}, and an epoch has {data.steps_per_epoch} rollouts; "
            f"set data.steps_per_epoch to {interval}, or trainer.check_val_every_n_epoch to null"
        )
    for split, loader, limit in (
        ("val", data.val_dataloader(), trainer.limit_val_batches),
        ("test", data.test_dataloader(), trainer.limit_test_batches),
    ):
        if isinstance(limit, float) and len(loader) and 0 < limit * len(loader) < 1:
            raise RefusedError(
                f"trainer.limit_{split}_batches is {limit}, and there are {len(loader)} batches; give a "
                f"number of them, or lower data.eval_batch {data.eval_batch}"
            )


def refuse_sizes(trainer: lightning.Trainer, data: LadderDataModule, updates_per_rollout: int) -> None:
    """Refuse numbers of prompts, ranks, updates and steps that do not divide.

    Args:
        trainer: of the run.
        data: draws the prompts.
        updates_per_rollout: optimizer steps of a rollout.

    Raises:
        RefusedError: names both numbers.
    """
    prompts, ranks, steps = data.prompts_per_step, trainer.world_size, trainer.max_steps
    if prompts % ranks:
        raise RefusedError(f"data.prompts_per_step {prompts} does not divide over {ranks} processes")
    if prompts // ranks % updates_per_rollout:
        raise RefusedError(
            f"{prompts // ranks} prompts a rank do not divide into updates_per_rollout {updates_per_rollout} "
            f"equal parts"
        )
    if steps > 0 and steps % updates_per_rollout:
        raise RefusedError(
            f"trainer.max_steps {steps} counts optimizer steps and is no multiple of updates_per_rollout "
            f"{updates_per_rollout}; a run must end with a rollout"
        )


def refuse_spent_time(trainer: lightning.Trainer | None, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to resume a fit from a checkpoint whose time is used up; Lightning counts that of all processes.

    Args:
        trainer: of the run that goes on; None for a learner on its own.
        checkpoint: as it was read.

    Raises:
        RefusedError: says how long was trained, and what to write.
    """
    if trainer is None or trainer.state.fn is not TrainerFn.FITTING:
        return
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if not isinstance(callback, Timer) or callback._duration is None:
            continue
        state = checkpoint["callbacks"].get(callback.state_key)
        spent = state["time_elapsed"].get("train", 0) if state else 0
        if spent >= callback._duration:
            raise RefusedError(
                f"trainer.max_time is {timedelta(seconds=callback._duration)}, and the run has trained for "
                f"{timedelta(seconds=round(spent))}; the time of all its processes counts: raise it to go on"
            )


def prepare_fast_dev_run(trainer: lightning.Trainer, updates_per_rollout: int) -> None:
    """Let ``fast_dev_run`` take whole rollouts, and write nothing to the run directory.

    Lightning has cut the held-out sets and switched off loggers and checkpoints. Its limit of steps counts
    rollouts. What the callbacks write goes to a temporary directory, so that the real run is not refused.

    Args:
        trainer: with ``fast_dev_run``.
        updates_per_rollout: optimizer steps of a rollout.
    """
    rollouts = int(trainer.fast_dev_run)  # type: ignore[attr-defined]
    trainer.fit_loop.epoch_loop.max_steps = rollouts * updates_per_rollout
    run_dir, folder = trainer.default_root_dir, Path(tempfile.mkdtemp(prefix="observer-fast-dev-run-"))
    trainer._default_root_dir = str(folder)  # type: ignore[attr-defined]
    rank_zero_info(
        f"fast_dev_run: {rollouts} rollouts, as many batches of each held-out set, no checkpoint, no export; "
        f"what is written is in {folder}, and {run_dir} stays as it is"
    )
