"""Averages of the weights over a run (EMA, SWA) by Lightning's callbacks, and what a learner adds.

``WeightAveraging`` measures, exports and saves the average as the model, and keeps the weights that train
beside it. Here frozen weights stay as they are, and an engine with weights of its own gets the ones in use.
``StochasticWeightAveraging`` puts the average in the place of the weights when the last epoch is over. It
keeps no state that a run could go on from exactly, so a run is not resumed once it has begun to average.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getclosurevars, unwrap
from itertools import chain
from typing import Any

import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy

from observer.run.checkpoints import restoring
from observer.types import RefusedError

CURRENT, AVERAGE = "current_model_state", "averaging_state"
"""Entries of a checkpoint beside ``state_dict``, which is then the average: the weights that train, and how
many were averaged."""


def averaging_of(trainer: Any) -> WeightAveraging | None:
    """Return the callback that averages the weights of a run; None if there is none."""
    return next((each for each in trainer.callbacks if isinstance(each, WeightAveraging)), None)


def stochastic_of(trainer: Any) -> Any:
    """Return the callback that averages the weights of the last epochs; None if there is none."""
    return next((each for each in trainer.callbacks if isinstance(each, StochasticWeightAveraging)), None)


def refuse_averaging(trainer: Any) -> None:
    """Refuse two averages, and one of weights that are cut over ranks.

    Raises:
        RefusedError: names the callbacks.
    """
    kinds = (WeightAveraging, StochasticWeightAveraging)
    found = [type(each).__name__ for each in trainer.callbacks if isinstance(each, kinds)]
    if len(found) > 1:
        raise RefusedError(f"trainer.callbacks holds {' and '.join(found)}: keep one average of the weights")
    if found and isinstance(trainer.strategy, ModelParallelStrategy):
        raise RefusedError(
            f"trainer.callbacks holds {found[0]}, which copies the weights, and ModelParallelStrategy cuts "
            f"them over ranks; leave it out, or use ddp"
        )


def refuse_no_last_epoch(trainer: Any, rollouts: int, steps_per_epoch: int) -> None:
    """Refuse a ``StochasticWeightAveraging`` that would average nothing, or never use its average.

    Args:
        trainer: of the run.
        rollouts: of the whole run.
        steps_per_epoch: rollouts of an epoch.

    Raises:
        RefusedError: names the option and what to write instead.
    """
    callback = stochastic_of(trainer)
    if callback is None or trainer.fast_dev_run:
        return
    name, epochs, start = type(callback).__name__, trainer.max_epochs, callback._swa_epoch_start
    if epochs is None or epochs < 1 or rollouts < epochs * steps_per_epoch:
        raise RefusedError(
            f"{name} averages until the epoch trainer.max_epochs, which is {epochs}, and the run ends after "
            f"{rollouts} rollouts, {steps_per_epoch} per epoch; set trainer.max_epochs, without max_steps"
        )
    if isinstance(start, int) and start > epochs:
        raise RefusedError(f"{name}.swa_epoch_start is {start}, above trainer.max_epochs {epochs}; lower it")


def start_average(module: Any) -> None:
    """Let ``StochasticWeightAveraging`` average the weights: it has copied a learner that had none yet."""
    callback = None if module.attached is None else stochastic_of(module.attached)
    if callback is None:
        return
    if callback.pl_module_contains_batch_norm(module):
        raise RefusedError(
            f"{type(callback).__name__} would draw one more epoch for the batch norms of {module.spec.path}; "
            f"use WeightAveraging"
        )
    parameters = (torch.nn.Parameter(each.detach().clone(), False) for each in module.parameters())
    callback._average_model = torch.nn.ParameterList(parameters)


def averaging_recipe(trainer: Any) -> str | None:
    """Return the callback with its options, for the recipe; None without one."""
    callback = None if trainer is None else averaging_of(trainer) or stochastic_of(trainer)
    if callback is None:
        return None
    if isinstance(callback, StochasticWeightAveraging):
        rates = (callback._swa_lrs, callback._annealing_epochs, callback._annealing_strategy)
        return f"{type(callback).__name__} {rates}"
    options = {
        name: value
        for name, value in vars(callback).items()
        if not name.startswith("_") and isinstance(value, bool | int | float | str | None)
    }
    average = callback._kwargs.get("avg_fn")  # of an EMA a function that knows the decay
    captured = {} if average is None else getclosurevars(unwrap(average)).nonlocals
    options |= {name: value for name, value in captured.items() if isinstance(value, bool | int | float)}
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
    _refuse_begun(checkpoint, trainer.ckpt_path)
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


def _refuse_begun(checkpoint: Mapping[str, Any], path: object) -> None:
    for name, state in checkpoint["callbacks"].items():
        averages = isinstance(state, dict) and {"n_averaged", "average_model_state"} <= state.keys()
        if averages and state["n_averaged"] != 0:
            raise RefusedError(
                f"cannot resume: {name} has averaged weights already, and keeps too little to go on exactly; "
                f"use WeightAveraging for runs that are resumed, or start a new run from its export ({path})"
            )


def complete(checkpoint: dict[str, Any], module: Any) -> None:
    """Put the frozen weights into the states that the callback loads, which it takes only whole."""
    if CURRENT in checkpoint:
        own = module.state_dict()
        for name in ("state_dict", CURRENT):
            checkpoint[name] = {**own, **checkpoint[name]}
