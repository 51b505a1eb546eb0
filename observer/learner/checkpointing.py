"""What a learner adds to its checkpoints, and what it refuses of one: in a run, or on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch.trainer.states import TrainerFn

from observer.learner.averaging import CURRENT, complete, refuse_lost_average
from observer.learner.rebuilding import ENTRY, restored_options, saved_options
from observer.learner.restoring import entries, refuse_malformed, refuse_unlike
from observer.policy.checkpoint import first_misfit
from observer.run.checkpoints import read_checkpoint, refuse_other_version, restoring
from observer.strategies import described, with_present_names
from observer.types import RefusedError


def add_entries(module: Any, checkpoint: dict[str, Any]) -> None:
    """Add the policy's spec, for ``observer export``, the recipe and the learner's options.

    With LoRA, frozen weights are taken out.

    Args:
        module: the learner, with its trainer.
        checkpoint: what is going to be saved.
    """
    local = Path(module.spec.path).expanduser()
    path = str(local.resolve()) if local.is_dir() else module.spec.path
    checkpoint["policy"] = {**asdict(module.spec), "path": path}
    checkpoint["recipe"] = module.recipe()
    checkpoint["entries"] = entries(checkpoint)
    checkpoint[ENTRY] = saved_options(type(module), module.given)
    checkpoint[ENTRY]["precision"] = module.trainer.precision
    if module.spec.lora is not None:
        trained = trained_names(module)
        for name in {"state_dict", CURRENT} & checkpoint.keys():
            checkpoint[name] = {k: v for k, v in checkpoint[name].items() if k in trained}


def trained_names(module: Any) -> set[str]:
    """Return the names of the weights that are trained."""
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def refuse_unfit(checkpoint: dict[str, Any], module: Any) -> None:
    """Refuse a checkpoint of no fit or of another model; where a fit is resumed, one of another recipe.

    Args:
        checkpoint: as it was read.
        module: the learner, with its weights; and with its trainer, if it has one.

    Raises:
        RefusedError: names the difference.
    """
    trainer = module.attached
    path = module.loaded_from if trainer is None else trainer.ckpt_path
    needed = {"state_dict", "policy", "recipe"}
    if trainer is not None:
        needed |= {type(module.data).__qualname__}
    if lost := needed - checkpoint.keys():
        raise RefusedError(
            f"the checkpoint holds no {', '.join(sorted(lost))}: it was made by no fit, or is damaged; "
            f"give another ({path})"
        )
    refuse_malformed(checkpoint, path)
    _refuse_other_model(checkpoint, module, path)
    if trainer is None or trainer.state.fn is not TrainerFn.FITTING:
        return
    refuse_lost_average(checkpoint, module)
    for name, now in module.recipe().items():
        before = checkpoint["recipe"].get(name)
        if name == "weighting" and before is not None:
            before = with_present_names(name, before)
        if before != now:
            raise RefusedError(
                f"cannot resume: the checkpoint was made with {name} {before}, this run has {now}; "
                f"resume with the configuration it was started with, or start a new run from its export "
                f"({path})"
            )
    refuse_unlike(checkpoint, module)
    complete(checkpoint, module)


def _refuse_other_model(checkpoint: Mapping[str, Any], module: Any, path: object) -> None:
    own = module.state_dict()
    expected = own.keys() if module.spec.lora is None else trained_names(module)
    for name in ("state_dict", CURRENT):
        if name in checkpoint and (misfit := first_misfit(checkpoint[name], own, expected)):
            raise RefusedError(
                f"the checkpoint is of another model: {misfit}; set model.policy.path and "
                f"model.policy.lora to what it was trained with ({path})"
            )
    adapters, trained_with = module.spec.lora and asdict(module.spec.lora), checkpoint["policy"]["lora"]
    if adapters != trained_with:  # no shape depends on alpha
        raise RefusedError(
            f"the checkpoint is of another model: its adapters are {trained_with}, here {adapters}; set "
            f"model.policy.lora to what it was trained with ({path})"
        )


def loaded(cls: type, path: str | Path | IO[bytes], map_location: Any, given: Mapping[str, Any]) -> Any:
    """Return a learner with the options and the weights of a checkpoint, ready to generate.

    Args:
        cls: the learner's class.
        path: the checkpoint.
        map_location: as ``torch.load`` takes it; None for where they were saved from, or the CPU.
        given: options in place of the checkpoint's.

    Raises:
        RefusedError: the file is damaged, of no fit, of another class or model; or an option is refused.
    """
    if isinstance(path, str | Path) and not Path(path).is_file():
        raise RefusedError(f"load_from_checkpoint: there is no file {path}; give a .ckpt file of a run")
    if map_location is None and not torch.cuda.is_available():
        map_location = "cpu"
    with restoring(path):
        if isinstance(path, str | Path):
            checkpoint = read_checkpoint(path, map_location)
        else:
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        if not isinstance(checkpoint, dict) or not {"policy", "recipe", "state_dict"} <= checkpoint.keys():
            raise ValueError("it holds no policy, recipe and state_dict")
        refuse_other_version(checkpoint, path)
    refuse_malformed(checkpoint, path)
    learner = cls(**restored_options(cls, checkpoint, given, path))
    learner.loaded_from = path
    if ENTRY not in checkpoint:
        _refuse_other_rubric(checkpoint, learner, given)
    learner.configure_model()
    learner.on_load_checkpoint(checkpoint)
    learner.load_state_dict(checkpoint["state_dict"], strict=learner.strict_loading)
    precision = checkpoint.get(ENTRY, {}).get("precision")
    learner.mixed_precision = precision == "bf16-mixed"
    return learner.to(next(iter(checkpoint["state_dict"].values())).device)


def _refuse_other_rubric(checkpoint: Mapping[str, Any], learner: Any, given: Mapping[str, Any]) -> None:
    """Refuse to judge by defaults what was trained otherwise: an earlier version kept rewards as text."""
    rubric = learner.answerer.rubric
    now = {
        "response_format": described(rubric.response_format),
        "rewards": {name: described(reward) for name, reward in rubric.rewards.items()},
    }
    for name, here in now.items():
        if name not in given and here != checkpoint["recipe"].get(name):
            raise RefusedError(
                f"a checkpoint of an earlier version was trained with the {name} "
                f"{checkpoint['recipe'].get(name)}; give it: load_from_checkpoint(path, {name}=...)"
            )
