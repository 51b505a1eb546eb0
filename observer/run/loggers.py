"""What loggers are given besides curves: hyperparameters, pictures, tables, words; and loggers that fail.

A logger is asked for the methods that Lightning's loggers have (``log_image``, ``log_table``, ``log_text``);
one without them is given the curves alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from observer.run.files import WriteError, writing
from observer.run.waiting import waiting
from observer.types import RefusedError


@dataclass
class _Calls:
    taken: int = 0
    lost: int = 0


_CALLS: WeakKeyDictionary[Logger, _Calls] = WeakKeyDictionary()


@contextmanager
def outlives(logger: Logger, what: str) -> Iterator[None]:
    """Let a run outlive a logger that stops working, as where its server is gone.

    A logger that fails before it ever took a call is a mistake, and ends the run. One that fails later is
    warned of once, asked again each time, and at the end its lost calls are counted (``tell_lost_calls``).

    Args:
        logger: that is called inside.
        what: it is given, for the message.

    Raises:
        WriteError: the disk is full or fails: that of the run, most often.
        RuntimeError: the logger has failed at its first call.
    """
    calls, name = _CALLS.setdefault(logger, _Calls()), type(logger).__name__
    try:
        disk = writing(Path(logger.save_dir or f"what {name} writes"))
        with waiting("a logger takes what it is given", f"{name}, {what}"), disk:
            yield
    except (WriteError, RefusedError):
        raise
    except Exception as error:
        if not calls.taken:
            raise RuntimeError(
                f"the logger {name} failed at {what}, its first call: {error!r}; mend it, or choose another "
                f"with --trainer.logger"
            ) from error
        calls.lost += 1
        if calls.lost == 1:
            rank_zero_warn(
                f"the logger {name} failed at {what}: {error!r}. Training goes on, and it is asked again"
            )
    else:
        calls.taken += 1


def tell_lost_calls(loggers: Sequence[Logger]) -> None:
    """Warn once of the calls that each logger has lost, and forget them."""
    for logger in loggers:
        if (calls := _CALLS.pop(logger, _Calls())).lost:
            rank_zero_warn(
                f"the logger {type(logger).__name__} has lost {calls.lost} calls, because it failed"
            )


def send_hyperparameters(loggers: Sequence[Logger], options: Mapping[str, str | float]) -> None:
    """Give every logger the options of a run.

    TensorBoard is told of the session alone. Its view of hyperparameters then lists the options that differ
    between runs first, with the last values of all curves. Lightning's ``log_hyperparams`` also describes the
    experiment: for all runs of a folder the view would have the options of the first, by alphabet, and a
    first point of each curve or of "hp_metric" that nobody has measured.

    Args:
        loggers: of the first rank.
        options: by name; see ``observer.run.hyperparameters``.
    """
    for logger in loggers:
        with outlives(logger, "the hyperparameters"):
            if isinstance(logger, TensorBoardLogger):
                from torch.utils.tensorboard.summary import hparams

                logger.hparams.update(options)
                _, session, _ = hparams(dict(options), {})  # type: ignore[no-untyped-call]
                logger.experiment._get_file_writer().add_summary(session)
            else:
                logger.log_hyperparams(dict(options))
            logger.save()


def show_charts(loggers: Sequence[Logger], page: str, charts: Mapping[str, Sequence[str]]) -> None:
    """Lay out a page of custom scalars in TensorBoard.

    Args:
        loggers: of the first rank.
        page: its title.
        charts: title -> names of the curves that it shows together.
    """
    layout = {
        page: {title: ["Multiline", [f"^{name}$" for name in names]] for title, names in charts.items()}
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            with outlives(logger, "the layout"):
                logger.experiment.add_custom_scalars(layout)


def takes_pictures(logger: Logger) -> bool:
    """Return whether a logger has a way to show pictures."""
    return isinstance(logger, TensorBoardLogger | MLFlowLogger) or hasattr(logger, "log_image")


def show_picture(loggers: Sequence[Logger], name: str, picture: Image.Image, step: int) -> None:
    """Show a picture in every logger that can.

    Args:
        loggers: of the first rank.
        name: of its place; a later picture of the same name is the next in a row.
        picture: RGB.
        step: rollouts finished before it.
    """
    for logger in filter(takes_pictures, loggers):
        with outlives(logger, f"the picture {name} of step {step}"):
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_image(logger.run_id, picture, key=name, step=step)
            else:
                logger.log_image(key=name, images=[picture], step=step)  # type: ignore[attr-defined]


def show_table(
    loggers: Sequence[Logger], name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
) -> None:
    """Show a table in every logger that has ``log_table``.

    Args:
        loggers: of the first rank.
        name: of its place.
        columns: their names.
        rows: of cells: numbers, text, None, pictures.
        step: rollouts finished before it.
    """
    for logger in loggers:
        if not hasattr(logger, "log_table"):
            continue
        cells = [list(row) for row in rows]
        with outlives(logger, f"the table {name} of step {step}"):
            if isinstance(logger, WandbLogger):
                import wandb

                cells = [
                    [wandb.Image(cell) if isinstance(cell, Image.Image) else cell for cell in row]
                    for row in cells
                ]
            logger.log_table(key=name, columns=list(columns), data=cells, step=step)


def show_word(loggers: Sequence[Logger], name: str, word: str, step: int) -> None:
    """Show a word, such as the name of a stage, in every logger that takes text.

    Args:
        loggers: of the first rank.
        name: of its place.
        word: that holds from this step on.
        step: rollouts finished before it.
    """
    for logger in loggers:
        with outlives(logger, f"the text {name} of step {step}"):
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(name, word, step)
            elif hasattr(logger, "log_text"):
                logger.log_text(key=name, columns=["step", name], data=[[step, word]], step=step)
