"""What ``trainer`` options of the command line are refused before a trainer is built, in one line each.

Whatever can be seen on a trainer is checked in ``observer.learner.trainer_options``, from Python too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.plugins import CheckpointIO

from observer.learner.trainer_options import OPTIONS
from observer.refusal import shown
from observer.run.files import causes
from observer.types import RefusedError


def refuse_flags(trainer: Namespace, fits: bool) -> None:
    """Refuse options that Lightning refuses without saying what to write, or replaces by others.

    Args:
        trainer: as configured.
        fits: whether it trains.

    Raises:
        RefusedError: names the option, its value and what to write instead.
    """
    if fits and trainer.max_epochs is None and trainer.max_steps == -1 and not trainer.fast_dev_run:
        raise RefusedError(
            "trainer.max_steps and trainer.max_epochs are not set, so that the run has no end; set "
            "trainer.max_steps, to optimizer steps, or trainer.max_epochs"
        )
    if trainer.enable_checkpointing is False:
        raise RefusedError(
            "trainer.enable_checkpointing is false; a run can always be resumed: for fewer checkpoints raise "
            "checkpoints.every_n_steps, and for a trial that keeps none set trainer.fast_dev_run"
        )
    if trainer.barebones:
        raise RefusedError(f"trainer.barebones is true; {OPTIONS['barebones'][1]}")
    if str(trainer.precision) in ("16", "16-mixed"):
        raise RefusedError(
            f"trainer.precision is {trainer.precision}; losses are not scaled: use 32-true or bf16-mixed"
        )


def refuse_checkpoint_io(plugins: list[Any]) -> None:
    """Refuse another writer of checkpoints beside the run's own.

    Raises:
        RefusedError: names it.
    """
    for plugin in plugins:
        if isinstance(plugin, CheckpointIO):
            raise RefusedError(
                f"trainer.plugins has {type(plugin).__name__}; leave it out: checkpoints are written by "
                f"AtomicCheckpointIO, which never leaves half a file"
            )


def with_plain_values(config: Namespace) -> None:
    """Replace members of enumerations, as Lightning's ``Timer`` has them, by the words that they stand for.

    Args:
        config: of a subcommand, which could not be written to ``config.yaml`` otherwise; it is changed.
    """
    for key, value in vars(config).items():
        if isinstance(value, Enum):
            setattr(config, key, value.value)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Namespace):
                with_plain_values(inner)


def refuse_unwritable(dump: Callable[[], str]) -> None:
    """Refuse a configuration that cannot be written to ``config.yaml``, before anything is computed.

    Args:
        dump: returns its text.

    Raises:
        RefusedError: says what cannot be written.
    """
    try:
        dump()
    except Exception as error:  # the parser raises whatever a value's own type does
        why = next((cause for cause in reversed(list(causes(error))) if str(cause)), error)
        raise RefusedError(
            f"the options cannot be written to config.yaml, the record of the run: {shown(str(why), 300)}"
        ) from error


@contextmanager
def building(trainer: bool = False) -> Iterator[None]:
    """Turn a missing package, and what Lightning's trainer refuses, into one line.

    Args:
        trainer: whether nothing but the trainer is built inside: its errors are refusals.

    Raises:
        RefusedError: names the package, or says what was refused.
    """
    try:
        yield
    except RefusedError:
        raise
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        missing = next((cause for cause in causes(error) if isinstance(cause, ModuleNotFoundError)), None)
        if missing is not None:
            raise RefusedError(f"a package that the options need is not installed: {missing}") from error
        if trainer:
            raise RefusedError(f"the trainer cannot be built: {' '.join(str(error).split())}") from error
        raise
