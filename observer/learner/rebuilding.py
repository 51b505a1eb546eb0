"""A learner's options as builtins, for its checkpoints, and the options of a learner made of them again.

Nothing that a checkpoint names is imported: strategies are known by name once their file was imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_warn

from observer import strategies
from observer.policy.loading import Lora, PolicySpec
from observer.refusal import shown
from observer.rewards import EasyR1Reward, Judge, TrlReward, VerlReward
from observer.run.checkpoints import restoring
from observer.types import RefusedError

ENTRY = "learner"
"""Entry of a checkpoint that holds the options."""
REACHING_OUT = (EasyR1Reward, Judge, TrlReward, VerlReward)
"""Rewards that run a function, or ask a server, which their options name. A file must not choose these."""


def given_options(cls: type, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a constructor was called with, by name, defaults included.

    Args:
        cls: the class that is constructed.
        arguments: the positional ones.
        options: the keywords.
    """
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *arguments, **options)
    except TypeError:  # the constructor says so itself
        return {}
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            found[name] = value
    return found


def saved_options(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a checkpoint from which ``restored_options`` makes the options again.

    Args:
        cls: the learner's class.
        options: of ``given_options``; the policy is left out, which checkpoints hold by itself.
    """
    kept, left_out = {}, []
    for name, value in options.items():
        if name == "policy":
            continue
        try:
            kept[name] = _as_builtins(value)
        except (AttributeError, TypeError, ValueError):
            left_out.append(name)
    return {"class": strategies.import_path(cls), "options": kept, "left_out": left_out}


def _as_builtins(value: Any) -> Any:
    """Return a value as a configuration file would write it.

    Raises:
        AttributeError: an object does not keep an argument of its constructor under its name.
        TypeError: a value is of no type that a configuration can hold.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_builtins(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_builtins(item) for item in value]
    cls = type(value)
    known = bool(_known(cls.__name__))
    if not known and not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is no strategy")
    names = (
        [part.name for part in fields(cls) if part.init]
        if is_dataclass(cls)
        else list(inspect.signature(cls).parameters)
    )
    held = {name: _as_builtins(getattr(value, name)) for name in names}
    return {"class_path": cls.__name__, "init_args": held} if known else held


def _known(name: str) -> list[type]:
    """Return the strategies of a name, of all families."""
    found = (strategies.members(family).get(name) for family in strategies.FAMILIES)
    return [cls for cls in found if cls is not None]


def restored_options(
    cls: type, checkpoint: Mapping[str, Any], given: Mapping[str, Any], path: object
) -> dict[str, Any]:
    """Return the options to construct a learner with: those of its checkpoint, and in their place given ones.

    Args:
        cls: the learner's class.
        checkpoint: as it was read.
        given: options that were named in the call.
        path: of the checkpoint, for messages.

    Raises:
        RefusedError: an option does not exist, is missing, or is of no type and class that it may have; or
            the checkpoint is of another class.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, None, fail_untyped=False, instantiate=False)
    names = {action.dest.partition(".")[0] for action in parser._actions} - {"help"}
    if unknown := given.keys() - names:
        raise RefusedError(
            f"load_from_checkpoint: {cls.__name__} has no option {sorted(unknown)[0]}; its options are "
            f"{', '.join(sorted(names))}"
        )
    held = checkpoint.get(ENTRY)
    with restoring(path, ENTRY):
        if held is None:
            return _of_before(checkpoint, names) | dict(given)
        _refuse_other_class(cls, held["class"])
        saved = {name: value for name, value in held["options"].items() if name not in given}
        if "policy" in names and "policy" not in given:
            saved["policy"] = dict(checkpoint["policy"])
        for name, value in saved.items():
            _refuse_unsafe(name, value, parser)
        if absent := sorted(set(held["left_out"]) - given.keys() - {"optimizer"}):
            raise RefusedError(
                f"the checkpoint could not keep {', '.join(absent)}; give it: "
                f"{cls.__name__}.load_from_checkpoint(path, {absent[0]}=...)"
            )
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(
            cls, None, skip=set(given) | {"optimizer"}, fail_untyped=False, instantiate=False
        )
        saved.pop("optimizer", None)
        options = dict(parser.instantiate_classes(parser.parse_object(saved)).items(nested=False))
    if "optimizer" in names:
        options["optimizer"] = _no_optimizer
    return options | dict(given)


def _no_optimizer(parameters: object) -> Any:
    """Stand in for the optimizer, which may be any function and is in no checkpoint.

    Raises:
        RefusedError: always.
    """
    raise RefusedError(
        "a learner that was loaded from a checkpoint has no optimizer; to train it, give one: "
        "load_from_checkpoint(path, optimizer=...)"
    )


def _refuse_other_class(cls: type, saved: str) -> None:
    if saved.rpartition(".")[2] not in {base.__name__ for base in cls.__mro__}:
        raise RefusedError(
            f"the checkpoint is of the learner {saved}, and {cls.__name__} is another; call "
            f"{saved.rpartition('.')[2]}.load_from_checkpoint"
        )


def _refuse_unsafe(option: str, value: Any, parser: ArgumentParser) -> None:
    """Refuse a class that is not known by name, or that may do whatever its options say."""
    for path in _class_paths(value):
        known = _known(path)
        if not known:
            raise RefusedError(
                f"{option} is the strategy {shown(path)}, which is not known; import its file first, or give "
                f"the option: load_from_checkpoint(path, {option}=...)"
            )
        hints = [hint for found in known for hint in strategies.parameters(found).values()]
        if any(issubclass(found, REACHING_OUT) for found in known) or any(
            "Callable" in hint for hint in hints
        ):
            raise RefusedError(
                f"{option} holds {path}, which runs code or asks servers that its options name; a checkpoint "
                f"does not choose these, give the option: load_from_checkpoint(path, {option}=...)"
            )


def _class_paths(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield str(value["class_path"])
        for item in value.values():
            yield from _class_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _class_paths(item)


def _of_before(checkpoint: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the options that a checkpoint of an earlier version holds: policy, seed and limits."""
    recipe = checkpoint["recipe"]
    held = {**recipe.get("sampling", {}), "seed": recipe.get("seed", 0), "optimizer": _no_optimizer}
    if "policy" in names:
        spec = dict(checkpoint["policy"])
        held["policy"] = PolicySpec(**{**spec, "lora": spec["lora"] and Lora(**spec["lora"])})
    rank_zero_warn(
        "a checkpoint of an earlier version, which holds the policy, the seed and the limits of completions; "
        "all other options are those given here, or their defaults"
    )
    return {name: value for name, value in held.items() if name in names}
