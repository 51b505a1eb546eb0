"""Refuses a checkpoint whose parts are whole and fit no run: of other types, shapes, or numbers.

Lightning restores what it is given: a missing count is a count of 0, an empty list a learning rate that
starts anew, and the rest is an error from deep inside. All of it is compared here, before anything is
restored, with what this very run would save.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from observer.curriculum.index_state import leaves
from observer.learner.averaging import CURRENT
from observer.learner.optimization import Optimization
from observer.refusal import printable, shown
from observer.run.checkpoints import restoring
from observer.run.environment import weights_digest
from observer.types import RefusedError

COUNTED = (
    "epoch_progress",
    "epoch_loop.state_dict",
    "epoch_loop.batch_progress",
    "epoch_loop.manual_optimization.optim_step_progress",
)
"""Counts of the trainer's loop that a run cannot go on without."""
SIDES = (2, 3, 4, 5, 6)
"""Sides of a small parameter: what an optimizer remembers of it tells what it remembers of a large one."""
MOST = 2**53
"""Above any count of a run."""


def refuse_malformed(checkpoint: Mapping[str, Any], path: object) -> None:
    """Refuse weights, a model or a recipe that cannot even be compared with the run's.

    Args:
        checkpoint: as it was read.
        path: of the file.

    Raises:
        RefusedError: names the file, the entry and its value.
    """
    with restoring(path):
        for name in {"state_dict", CURRENT} & checkpoint.keys():
            _weights(checkpoint[name])
        for name in ("policy", "recipe"):
            _need(isinstance(checkpoint[name], dict), name, checkpoint[name])
            _builtins(checkpoint[name], name)
        _need("lora" in checkpoint["policy"], "policy", checkpoint["policy"])
        weighting = checkpoint["recipe"].get("weighting")
        _need(weighting is None or isinstance(weighting, str), "recipe.weighting", weighting)


def refuse_unlike(checkpoint: Mapping[str, Any], module: Any) -> None:
    """Refuse counts, an optimizer, or callbacks that a fit of the same model and recipe cannot go on from.

    Args:
        checkpoint: as it was read.
        module: the learner, with its weights as they were loaded, and its trainer.

    Raises:
        RefusedError: names the file, the entry and its value.
    """
    with restoring(module.trainer.ckpt_path):
        _counts(checkpoint, module)
        _optimizer(checkpoint, module)
        _callbacks(checkpoint["callbacks"], module)
        _base(checkpoint.get("environment"), module)
        held = entries(checkpoint)
        noted = checkpoint.get("entries", held)  # earlier versions noted nothing
        _need(held == noted, "what is remembered", f"{held}, and was {noted}")


def entries(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much the optimizers and the schedule remember, so that what is lost is noticed.

    Of a parameter that had no gradient yet there is nothing, and many a schedule remembers nothing at all.
    """
    data = checkpoint.get("LadderDataModule", {})
    return {
        "optimizers": [len(held["state"]) for held in checkpoint.get("optimizer_states", [])],
        "memory": leaves(data["ladder"]["memory"]) if data else 0,
    }


def _need(condition: object, where: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{where} is {repr(value)[:80]}")


def _count(value: object, where: str, least: int = 0, most: int = MOST) -> None:
    _need(type(value) is int and least <= value <= most, where, value)


def _number(value: Any, where: str) -> None:
    _need(type(value) in (int, float) and 0 <= value < math.inf, where, value)


def _builtins(value: object, where: str) -> None:
    """Refuse tensors where there are none: comparing them is an error."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _builtins(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            _builtins(item, where)
    else:
        _need(not isinstance(value, torch.Tensor), where, value)


def _tensor(value: object, where: str, shape: tuple[int, ...] | None = None) -> None:
    _need(isinstance(value, torch.Tensor), where, value)
    assert isinstance(value, torch.Tensor)
    plain = value.layout is torch.strided and value.is_floating_point()
    _need(plain, where, f"a tensor of {value.dtype}, {value.layout}")
    _need(shape in (None, tuple(value.shape)), where, f"of the shape {tuple(value.shape)}, not {shape}")
    _need(value.isfinite().all(), where, "not finite")


def _weights(weights: object) -> None:
    _need(isinstance(weights, dict), "state_dict", weights)
    assert isinstance(weights, dict)
    for name, value in weights.items():
        _need(isinstance(name, str), "state_dict", name)
        _tensor(value, f"state_dict.{name}")


def _alike(saved: Any, own: Any, where: str) -> None:
    """Refuse progress of the trainer's loops with other keys or types than its own, or negative counts."""
    if isinstance(own, dict):
        _need(isinstance(saved, dict) and saved.keys() == own.keys(), where, saved)
        for name, value in own.items():
            _alike(saved[name], value, f"{where}.{name}")
    elif isinstance(own, bool):
        _need(type(saved) is bool, where, saved)
    else:
        _count(saved, where)


def _counts(checkpoint: Mapping[str, Any], module: Any) -> None:
    """Refuse counts that contradict each other."""
    loop, own = checkpoint["loops"]["fit_loop"], module.trainer.fit_loop.state_dict()
    for name in COUNTED:
        _need(name in loop, "loops.fit_loop", f"without {name}")
    for name, value in loop.items():
        if name.endswith("state_dict"):
            _need(isinstance(value, dict), f"loops.fit_loop.{name}", value)
        elif name in own:
            _alike(value, own[name], f"loops.fit_loop.{name}")
    loaders = loop.get("state_dict", {}).get("combined_loader", [])
    _need(
        isinstance(loaders, list) and all(isinstance(held, dict) for held in loaders), "the loaders", loaders
    )
    step, updates = checkpoint["LadderDataModule"]["step"], module.optimization.updates_per_rollout
    _count(step, "LadderDataModule.step")
    stepped = loop["epoch_loop.state_dict"]["_batches_that_stepped"]
    _count(stepped, "epoch_loop.state_dict._batches_that_stepped", max(0, step - 1), step)
    steps, batches = step * updates, loop["epoch_loop.batch_progress"]
    _count(checkpoint["global_step"], "global_step", steps, steps)
    for name in ("ready", "completed"):
        total = loop["epoch_loop.manual_optimization.optim_step_progress"]["total"][name]
        _count(total, f"optim_step_progress.total.{name}", steps, steps)
    for name in ("ready", "started", "processed", "completed"):
        least = step - 1 if name == "completed" else step
        _count(batches["total"][name], f"batch_progress.total.{name}", max(0, least), step)
        _count(batches["current"][name], f"batch_progress.current.{name}", 0, max(0, step))


def _optimizer(checkpoint: Mapping[str, Any], module: Any) -> None:
    """Compare with an optimizer and a learning-rate schedule as the run begins with."""
    made: Any = module.configure_optimizers()
    own, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"].state_dict()
    for name in ("optimizer_states", "lr_schedulers"):
        _need(isinstance(checkpoint[name], list) and len(checkpoint[name]) == 1, name, checkpoint[name])
    saved, rates = checkpoint["optimizer_states"][0], checkpoint["lr_schedulers"][0]
    groups = own.state_dict()["param_groups"]
    _need(len(saved["param_groups"]) == len(groups), "param_groups", saved["param_groups"])
    for held, expected in zip(saved["param_groups"], groups, strict=True):
        _need(held.keys() == expected.keys(), "param_groups", held)
        for name, value in expected.items():
            if name != "lr":
                _need(held[name] == value, f"param_groups.{name}", held[name])
    steps = checkpoint["global_step"]
    _need(rates.keys() <= schedule.keys(), "lr_schedulers", rates)
    for name in ("base_lrs", "lr_lambdas"):
        _need(rates[name] == schedule[name], f"lr_schedulers.{name}", rates[name])
    _count(rates["last_epoch"], "lr_schedulers.last_epoch", steps, steps)
    _count(rates["_step_count"], "lr_schedulers._step_count", steps + 1, steps + 1)
    for name in rates.keys() & {"_is_initial", "_get_lr_called_within_step"}:
        _need(rates[name] is False, f"lr_schedulers.{name}", rates[name])
    for rate in rates["_last_lr"]:
        _number(rate, "lr_schedulers._last_lr")
    _need(rates["_last_lr"] == [group["lr"] for group in saved["param_groups"]], "param_groups.lr", rates)
    _moments(saved["state"], own.param_groups, steps, module.optimization)


def _moments(state: Any, groups: Sequence[Mapping[str, Any]], steps: int, optimization: Optimization) -> None:
    """Compare what the optimizer remembers of each parameter with what it remembers of a small one."""
    parameters = [(parameter, group) for group in groups for parameter in group["params"]]
    small: dict[tuple[int, int], dict[str, Any]] = {}
    for place, held in state.items():
        _count(place, "optimizer_states.state", 0, len(parameters) - 1)
        parameter, group = parameters[place]
        shape, kind = tuple(parameter.shape), (parameter.ndim, id(group))
        if kind not in small:
            small[kind] = _remembered(optimization, len(shape), group)
        expected = small[kind]
        where = f"optimizer_states.state.{place}"
        _need(held.keys() == expected.keys(), where, list(held))
        for name, value in held.items():
            like = expected[name]
            if not isinstance(like, torch.Tensor):
                _need(type(value) is type(like), f"{where}.{name}", value)
                continue
            _tensor(value, f"{where}.{name}", _like(like, shape))
            if name == "step":
                _need(value.numel() == 1 and 0 <= float(value) <= steps, f"{where}.step", value)
            elif name.endswith("_sq"):
                _need((value >= 0).all(), f"{where}.{name}", "negative")


def _like(small: torch.Tensor, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of what has this one for a small parameter; None where that does not follow."""
    sides = SIDES[: len(shape)]
    if small.numel() <= 1 or small.dim() != len(shape):
        return None
    if any(side not in (1, own) for side, own in zip(small.shape, sides, strict=True)):
        return None
    return tuple(1 if side == 1 else full for side, full in zip(small.shape, shape, strict=True))


def _remembered(optimization: Optimization, dimensions: int, group: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an optimizer remembers of a parameter of so many dimensions, in a group, after a step."""
    parameter = torch.nn.Parameter(torch.zeros(SIDES[:dimensions]))
    parameter.grad = torch.zeros_like(parameter)
    options = {name: value for name, value in group.items() if name not in ("params", "initial_lr")}
    alone = optimization.parameter_groups is None
    optimizer = optimization.optimizer([parameter] if alone else [{"params": [parameter], **options}])
    optimizer.step()
    return dict(optimizer.state[parameter])


def _callbacks(states: Any, module: Any) -> None:
    """Restore each callback on a copy first."""
    _need(isinstance(states, dict), "callbacks", states)
    callbacks: list[Any] = module.trainer.callbacks
    for callback in callbacks:
        if callback.state_key in states:
            named = f"callbacks.{callback.state_key}"
            with warnings.catch_warnings(), restoring(module.trainer.ckpt_path, named):
                warnings.simplefilter("ignore")
                state = copy.deepcopy(states[callback.state_key])
                try:
                    copy.copy(callback).load_state_dict(state)
                except Exception as error:
                    _other_class(state, callback, module.trainer.ckpt_path, error)
                    raise


def _other_class(state: Any, callback: Any, path: object, error: Exception) -> None:
    """Refuse what a callback of another class has saved; subclasses of a curriculum share their state."""
    saved, own = state.get("class") if isinstance(state, dict) else None, type(callback).__name__
    if isinstance(saved, str) and saved != own:
        raise RefusedError(
            f"cannot resume: {path} holds what {shown(saved)} has seen, and {own} cannot go on from that "
            f"({error!r}); go on with --curriculum {printable(saved)}"
        ) from error


def _base(record: Any, module: Any) -> None:
    """Refuse other weights below adapters than they were trained on; earlier versions kept no digest."""
    start = record.get("start") if isinstance(record, dict) else None
    before = start.get("frozen") if isinstance(start, dict) else None
    if module.spec.lora is not None and before is not None and before != frozen_digest(module):
        raise RefusedError(
            f"cannot resume: the weights of {module.spec.path} are not those that the adapters of "
            f"{module.trainer.ckpt_path} were trained on; bring them, or model.policy.dtype, back"
        )


def frozen_digest(module: Any) -> str:
    """Return a digest of the weights that are not trained."""
    return weights_digest({n: p for n, p in module.policy.named_parameters() if not p.requires_grad})
