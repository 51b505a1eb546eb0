"""Averages of the weights over a run (EMA, SWA) by Lightning's ``WeightAveraging``, and what a learner adds.

Lightning's callback measures, exports and saves the average as the model, and keeps the weights that train
beside it. Here frozen weights stay as they are, and an engine with weights of its own gets the ones in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging

from observer.run.checkpoints import restoring
from observer.types import RefusedError

CURRENT, AVERAGE = "current_model_state", "averaging_state"
"""Entries of a checkpoint beside ``state_dict``, which is then the average: the weights that train, and how
many were averaged."""


def averaging_of(trainer: Any) -> WeightAveraging | None:
    """Return the callback that averages the weights of a run; None if there is none."""
    return next((each for each in trainer.callbacks if isinstance(each, WeightAveraging)), None)


def refuse_averaging(trainer: Any) -> None:
    """Refuse two averages.

    Raises:
        RefusedError: names both callbacks.
    """
    found = [type(each).__name__ for each in trainer.callbacks if isinstance(each, WeightAveraging)]
    if len(found) > 1:
        raise RefusedError(f"trainer.callbacks holds {' and '.join(found)}: keep one average of the weights")


def averaging_recipe(trainer: Any) -> str | None:
    """Return the callback with its public options, for the recipe; None without one."""
    callback = None if trainer is None else averaging_of(trainer)
    if callback is None:
        return None
    options = {
        name: value
        for name, value in vars(callback).items()
        if not name.startswith("_") and isinstance(value, bool | int | float | str | None)
    }
    return f"{type(callback).__name__} {options}"


@torch.no_grad()
def keep_frozen(module: Any) -> None:
    """Give the average the frozen weights as they are: an average of equal numbers is rounded each time."""
    callback = averaging_of(module.trainer)
    average = None if callback is None else callback._average_model
    if average is None:
        return
    parts = (module.parameters(), module.buffers())
    averaged_parts = (average.module.parameters(), average.module.buffers())
    for own, averaged in zip(chain(*parts), chain(*averaged_parts), strict=True):
        if not own.requires_grad:
            averaged.copy_(own)


def refuse_lost_average(checkpoint: Mapping[str, Any], module: Any) -> None:
    """Refuse to go on with half of what an averaging run has saved.

    Raises:
        RefusedError: the run does not average, an entry is missing, or a count is none.
    """
    trainer = module.trainer
    callback, held = averaging_of(trainer), {CURRENT, AVERAGE} & checkpoint.keys()
    if callback is None:
        if held:
            raise RefusedError(
                f"cannot resume: the checkpoint holds an average of the weights, and trainer.callbacks no "
                f"WeightAveraging; add the one it was made with, or start a new run from its export "
                f"({trainer.ckpt_path})"
            )
        return
    with restoring(trainer.ckpt_path, "averaging"):
        if held != {CURRENT, AVERAGE}:
            raise ValueError("the checkpoint holds no average of the weights")
        count, steps = checkpoint[AVERAGE]["n_averaged"], checkpoint["global_step"]
        latest = checkpoint["callbacks"][callback.state_key]["latest_update_step"]
        if (
            checkpoint[AVERAGE].keys() != {"n_averaged"}
            or count.shape
            or not 0 <= int(count) <= 2 * steps + 2
        ):
            raise ValueError(f"n_averaged is {repr(count)[:80]}")
        if type(latest) is not int or not 0 <= latest <= steps:
            raise ValueError(f"latest_update_step is {repr(latest)[:80]}")


def complete(checkpoint: dict[str, Any], module: Any) -> None:
    """Put the frozen weights into the states that the callback loads, which it takes only whole."""
    if CURRENT in checkpoint:
        own = module.state_dict()
        for name in ("state_dict", CURRENT):
            checkpoint[name] = {**own, **checkpoint[name]}
