"""Why a run ended: by its own configuration, by the clock, by a signal or by an exception."""

from __future__ import annotations

import signal

import lightning
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

MAX_TIME = "max_time"
"""The only end of its own that leaves a run incomplete."""


def ended_by(trainer: lightning.Trainer) -> str:
    """Return what ended a fit that raised nothing.

    Args:
        trainer: after the fit.

    Returns:
        ``max_steps``, ``max_epochs``, the name of a callback such as ``EarlyStopping``, ``max_time``, or
        ``should_stop`` where another callback has set ``trainer.should_stop``.
    """
    if 0 <= trainer.max_steps <= trainer.global_step:
        return "max_steps"
    epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
        return "max_epochs"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping):
            stopped = callback.stopping_reason is not EarlyStoppingReason.NOT_STOPPED
            if stopped and callback.stopped_epoch >= trainer.current_epoch - 1:  # else an earlier process was
                return type(callback).__name__
    if any(isinstance(callback, Timer) and spent(callback) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        return MAX_TIME
    return "should_stop"


def spent(timer: Timer) -> bool:
    """Return whether a timer's time is used up."""
    remaining = timer.time_remaining()
    return remaining is not None and remaining <= 0


def ended_by_exception(exception: BaseException) -> str:
    """Return the name of the signal that an exception stands for, or else its own.

    >>> ended_by_exception(SystemExit(143)), ended_by_exception(FloatingPointError("nan"))
    ('SIGTERM', 'FloatingPointError')
    """
    if isinstance(exception, KeyboardInterrupt):
        return signal.SIGINT.name
    if isinstance(exception, SystemExit) and isinstance(exception.code, int) and exception.code > 128:
        return signal.Signals(exception.code - 128).name
    return type(exception).__name__
