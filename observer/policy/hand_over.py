"""A policy's weights, one by one, for an engine that has a copy of them: adapters merged, the head with them.

Names are those of transformers. At most one merged weight is in memory beside the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors import safe_open

from observer.policy.loading import PolicySpec
from observer.policy.model_files import model_folder, weight_files
from observer.policy.saving import merged_weight, whole

HEAD, EMBEDDING = "lm_head.weight", "embed_tokens.weight"


@torch.no_grad()
def handed_over(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each weight by name, without gradients; what is sharded over ranks is gathered, on all of them.

    A head that shares its weights with the embedding is no parameter of its own, and yet an engine may hold
    a copy of it, packed for its kernels: it is yielded too, last.

    Args:
        model: a transformers model, with or without adapters in it, wrapped in nothing.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    names = set()
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        layer = layers.get(name.removesuffix(".base_layer.weight"))
        name = name.replace(".base_layer.", ".")
        names.add(name)
        yield name, whole(parameter) if layer is None else merged_weight(layer, whole(parameter))
    if HEAD not in names:
        yield HEAD, whole(model.get_output_embeddings().weight)


def weights_in_files(spec: PolicySpec) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of a model's files by name, the head that is tied to the embedding too, last.

    Args:
        spec: the model; its files are there.
    """
    folder = model_folder(spec.path)
    assert folder is not None
    embedding, names = None, set()
    for name in weight_files(folder):
        with safe_open(folder / name, "pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                names.add(key)
                tensor = file.get_tensor(key)
                embedding = tensor if key.endswith(EMBEDDING) else embedding
                yield key, tensor
    if HEAD not in names and embedding is not None:
        yield HEAD, embedding
