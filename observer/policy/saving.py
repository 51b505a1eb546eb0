"""Saves a policy as a complete Hugging Face directory, adapters merged in float32 one weight at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer, LoraModel
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from observer.policy.sharded.sharding import is_sharded
from observer.policy.weights_file import PART, Weight, in_file, in_order, write_file, write_weights

ADAPTER = "adapter"
"""Folder of the adapters, beside the weights that they are merged into."""


@dataclass
class Survival:
    """How much of the adapters' update is left once merged weights are rounded to a coarser type.

    A weight moves from round(w) to round(w + d): of an update d that is small beside the spacing of the type,
    most is lost.
    """

    dtype: torch.dtype
    update: float = 0.0
    """Sum of d * d."""
    kept: float = 0.0
    """Sum of d * (round(w + d) - round(w))."""
    moved: int = 0
    """Weights with round(w + d) != round(w)."""
    meant: int = 0
    """Weights with d != 0."""

    def add(self, base: torch.Tensor, change: torch.Tensor) -> None:
        """Count one weight matrix.

        Args:
            base: w, as the run held it.
            change: d, float32, of the same shape.
        """
        pairs = zip(*(torch.split(tensor.reshape(-1), PART) for tensor in (base, change)), strict=True)
        for w, d in pairs:
            step = (w.float() + d).to(self.dtype).float() - w.to(self.dtype).float()
            self.update += float(d.double().square().sum())
            self.kept += float((d.double() * step.double()).sum())
            self.moved += int(step.count_nonzero())
            self.meant += int(d.count_nonzero())

    def described(self) -> str:
        """Return one line for people."""
        name = str(self.dtype).removeprefix("torch.")
        share, moved = self.kept / (self.update or 1.0), self.moved / (self.meant or 1)
        return (
            f"{name} keeps {share:.1%} of what the adapters learned: {moved:.1%} of the weights that they "
            f"change differ after rounding; float32, or the adapters in {ADAPTER}/, keep all of it"
        )


def save_weights(
    model: Any, adapters: LoraModel | None, directory: Path, base: str, dtype: torch.dtype | None
) -> Survival | None:
    """Write the weights of a model under the names of its published checkpoints, and its configuration.

    At most one weight is in memory beside the model.

    Args:
        model: a transformers model, with or without adapters in it.
        adapters: those in it; merged weights are float32 unless ``dtype`` says otherwise.
        directory: an existing folder.
        base: path or hub id of the model that the adapters were trained on.
        dtype: the type to write; None for the one that loses nothing.

    Returns:
        What rounding leaves of the adapters' update, where ``dtype`` is coarser than float32.
    """
    survival = Survival(dtype) if adapters is not None and dtype not in (None, torch.float32) else None
    weights = _weights(model, adapters, survival, dtype)
    write_weights(directory, weights)
    config = copy.deepcopy(model.config)
    written = str(
        max((w.dtype for w in weights if w.dtype.is_floating_point), key=lambda kind: kind.itemsize)
    )
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        part.dtype = written.removeprefix("torch.")
    config.architectures = [type(model).__name__]
    config.save_pretrained(directory)
    if adapters is not None:
        _save_adapters(model, adapters, directory / ADAPTER, base)
    return survival


def _weights(
    model: Any, adapters: LoraModel | None, survival: Survival | None, dtype: torch.dtype | None
) -> list[Weight]:
    held = torch.float32 if adapters is not None else None
    return [
        weight
        for name, (make, like) in _merged(model, survival).items()
        for weight in _as_published(model, name, make, like, dtype or held)
    ]


def take_part(model: Any, adapters: LoraModel | None, dtype: torch.dtype | None) -> None:
    """Take part in the ``save_weights`` of another rank: gather the weights that are sharded, as it does.

    Args:
        model: see ``save_weights``.
        adapters: likewise.
        dtype: likewise.
    """
    weights = list(in_order(_weights(model, adapters, None, dtype)))
    for weight in weights + ([] if adapters is None else in_file(_adapter_weights(model))):
        weight.make()


def _merged(
    model: Any, survival: Survival | None
) -> dict[str, tuple[Callable[[], torch.Tensor], torch.Tensor]]:
    """Return by name how each weight is made, and the one of the model that it is made of."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    state = {
        name.replace(".base_layer.", "."): value
        for name, value in model.state_dict().items()
        if ".lora_" not in name
    }
    if any(map(is_sharded, state.values())):  # two may have no value here, and yet be no one's other name
        own = {name.replace(".base_layer.", ".") for name, _ in model.named_parameters()}
        state = {name: value for name, value in state.items() if name in own}
    else:
        state = remove_tied_weights_from_state_dict(state, model)
    found: dict[str, tuple[Callable[[], torch.Tensor], torch.Tensor]] = {}
    for name, value in state.items():
        layer = layers.get(name.removesuffix(".weight"))
        make = (
            partial(merged_weight, layer, value, survival) if layer is not None else partial(_itself, value)
        )
        found[name] = (make, value)
    return found


def _itself(value: torch.Tensor) -> torch.Tensor:
    return whole(value)


@torch.no_grad()
def merged_weight(layer: Any, base: torch.Tensor, survival: Survival | None = None) -> torch.Tensor:
    """Return weight + adapters in float32, in the memory of the adapters' product.

    Args:
        layer: the adapted layer.
        base: its weight.
        survival: counts what rounding would leave of the adapters; None for no count.
    """
    with torch.autocast(base.device.type, enabled=False):  # a failure is saved inside a mixed-precision step
        merged = whole(layer.get_delta_weight("default")).float()
    full = whole(base)
    if survival is not None:
        survival.add(full, merged)
    return merged.add_(full)


def whole(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight without gradient; one that is sharded over ranks is gathered: all ranks call it."""
    full: torch.Tensor = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
    return full.detach()


def _as_published(
    model: Any, name: str, make: Callable[[], torch.Tensor], like: torch.Tensor, dtype: torch.dtype | None
) -> list[Weight]:
    """Return a weight under the name and in the shape of published checkpoints, as transformers saves it."""
    empty = torch.empty(like.shape, dtype=like.dtype, device="meta")
    shapes = revert_weight_conversion(model, {name: empty})
    kind = dtype if dtype is not None and like.dtype.is_floating_point else like.dtype

    def published(key: str) -> torch.Tensor:
        converted: torch.Tensor = revert_weight_conversion(model, {name: make()})[key]
        return converted

    return [Weight(key, tuple(value.shape), kind, partial(published, key)) for key, value in shapes.items()]


def _save_adapters(model: Any, adapters: LoraModel, directory: Path, base: str) -> None:
    """Write the adapters as ``PeftModel.from_pretrained`` reads them."""
    directory.mkdir(exist_ok=True)
    config = copy.deepcopy(adapters.peft_config["default"])
    config.inference_mode, config.base_model_name_or_path = True, base
    config.save_pretrained(str(directory))
    write_file(directory / "adapter_model.safetensors", _adapter_weights(model))


def _adapter_weights(model: Any) -> list[Weight]:
    return [
        Weight(
            f"base_model.model.{name.replace('.default', '')}",
            tuple(value.shape),
            value.dtype,
            partial(_itself, value),
        )
        for name, value in model.state_dict().items()
        if ".lora_" in name
    ]
