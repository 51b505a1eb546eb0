"""The parameters of a model by name and shape, from its sizes; a test compares them with the model's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from observer.planning.architecture import Architecture

if TYPE_CHECKING:
    from observer.policy.loading import Lora

Shapes = dict[str, tuple[int, ...]]
EMBEDDING, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
LAYER = re.compile(r"(.*\.(?:layers|blocks)\.\d+)\.")
"""A layer of the text model or of the tower, which FSDP2 gathers as one."""


@lru_cache(maxsize=16)
def parameters(sizes: Architecture) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of each parameter by its name; the head is left out where it is the embedding."""
    shapes = dict(_tower(sizes))
    text = "model.language_model"
    shapes[EMBEDDING] = (sizes.vocabulary, sizes.width)
    bias = sizes.family != "qwen3_vl"
    for layer in range(sizes.layers):
        at, attention = f"{text}.layers.{layer}", f"{text}.layers.{layer}.self_attn"
        for name, rows in (("q", sizes.query_width), ("k", sizes.key_width), ("v", sizes.key_width)):
            shapes |= _linear(f"{attention}.{name}_proj", rows, sizes.width, bias)
        shapes |= _linear(f"{attention}.o_proj", sizes.width, sizes.query_width, bias=False)
        if sizes.family == "qwen3_vl":
            shapes |= {f"{attention}.{name}_norm.weight": (sizes.head_width,) for name in "qk"}
        for name in ("gate", "up"):
            shapes |= _linear(f"{at}.mlp.{name}_proj", sizes.inner, sizes.width, bias=False)
        shapes |= _linear(f"{at}.mlp.down_proj", sizes.width, sizes.inner, bias=False)
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{at}.{name}.weight"] = (sizes.width,)
    shapes[f"{text}.norm.weight"] = (sizes.width,)
    if not sizes.tied:
        shapes[HEAD] = (sizes.vocabulary, sizes.width)
    return shapes


def adapters(shapes: Mapping[str, tuple[int, ...]], lora: Lora) -> Shapes:
    """Return the shapes of the two factors of each adapter.

    Args:
        shapes: of the model's parameters.
        lora: rank, and which linear layers are adapted.
    """
    found: Shapes = {}
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if name.endswith(".weight") and len(shape) == 2 and re.fullmatch(lora.targets, module):
            found[f"{module}.lora_A"], found[f"{module}.lora_B"] = (
                (lora.rank, shape[1]),
                (shape[0], lora.rank),
            )
    return found


def count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many numbers parameters are.

    >>> count({"weight": (2, 3), "bias": (2,)})
    8
    """
    return sum(map(prod, shapes.values()))


def of_tower(shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Return those of the vision tower."""
    return {name: shape for name, shape in shapes.items() if name.startswith("model.visual.")}


def matrices(shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Return the weights of products, which mixed precision casts."""
    return {name: shape for name, shape in shapes.items() if len(shape) > 1 and "pos_embed" not in name}


def layers(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return how many numbers each layer holds, and under "" all that is in none."""
    found: dict[str, int] = {}
    for name, shape in shapes.items():
        match = LAYER.match(name)
        key = match[1] if match else ""
        found[key] = found.get(key, 0) + prod(shape)
    return found


def _linear(name: str, rows: int, columns: int, bias: bool = True) -> Shapes:
    weight: Shapes = {f"{name}.weight": (rows, columns)}
    return weight | ({f"{name}.bias": (rows,)} if bias else {})


def _norm(name: str, width: int, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (width,)}
    return weight | ({f"{name}.bias": (width,)} if bias else {})


def _tower(sizes: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    tower, visual, third = sizes.tower, "model.visual", sizes.family == "qwen3_vl"
    bias, width = not tower.gated, tower.width  # Qwen2.5-VL's norms have none
    merged = width * tower.merge**2
    shapes: Shapes = {f"{visual}.patch_embed.proj.weight": (width, tower.patch_numbers)}
    if third:
        shapes[f"{visual}.patch_embed.proj.bias"] = (width,)
        shapes[f"{visual}.pos_embed.weight"] = (tower.positions, width)
    inner = ("gate_proj", "up_proj", "down_proj") if tower.gated else ("fc1", "fc2")
    if third:
        inner = ("linear_fc1", "linear_fc2")
    for layer in range(tower.layers):
        at = f"{visual}.blocks.{layer}"
        shapes |= _norm(f"{at}.norm1", width, bias) | _norm(f"{at}.norm2", width, bias)
        shapes |= _linear(f"{at}.attn.qkv", 3 * width, width) | _linear(f"{at}.attn.proj", width, width)
        for name in inner[:-1]:
            shapes |= _linear(f"{at}.mlp.{name}", tower.inner, width)
        shapes |= _linear(f"{at}.mlp.{inner[-1]}", width, tower.inner)
    names = ("norm", "linear_fc1", "linear_fc2") if third else ("ln_q", "mlp.0", "mlp.2")
    shapes |= _merger(f"{visual}.merger", names, width, merged, sizes.width, bias)
    for index in range(tower.deep):
        at = f"{visual}.deepstack_merger_list.{index}"
        shapes |= _merger(at, names, merged, merged, sizes.width, bias)
    yield from shapes.items()


def _merger(at: str, names: tuple[str, str, str], normed: int, merged: int, out: int, bias: bool) -> Shapes:
    norm, first, second = (f"{at}.{name}" for name in names)
    return _norm(norm, normed, bias) | _linear(first, merged, merged) | _linear(second, out, merged)
