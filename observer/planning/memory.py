"""Bytes of a GPU, by part and by what a rank is doing: drawing, going back through a pass, stepping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

from observer.objective.update_norm import MOST
from observer.planning.activations import FLOAT, activations
from observer.planning.drawing import drawing
from observer.planning.parameters import (
    Shapes,
    adapters,
    count,
    layers,
    matrices,
    of_tower,
    parameters,
)
from observer.planning.work import Work

CUDA = 1_500_000_000
"""Bytes of a GPU that no tensor has: the context, libraries, what lies between blocks. A guess."""
PHASES = ("drawing", "backward pass", "optimizer step")
Parts = dict[str, tuple[int, int, int]]
"""Part -> bytes in each phase."""


@dataclass(frozen=True)
class Weights:
    """The numbers of a model, and which of them train."""

    work: Work

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the model without adapters."""
        return parameters(self.work.sizes)

    @cached_property
    def adapters(self) -> Shapes:
        """Of the adapters."""
        return {} if self.work.lora is None else adapters(self.shapes, self.work.lora)

    @cached_property
    def trained(self) -> Mapping[str, tuple[int, ...]]:
        """What trains."""
        if self.work.lora is not None:
            return self.adapters
        if not self.work.frozen_tower:
            return self.shapes
        tower = of_tower(self.shapes)
        return {name: shape for name, shape in self.shapes.items() if name not in tower}

    @cached_property
    def bytes(self) -> int:
        """Of all weights; adapters are float32."""
        return count(self.shapes) * self.work.dtype + count(self.adapters) * FLOAT

    @cached_property
    def trained_bytes(self) -> int:
        """Of those that train."""
        return count(self.trained) * (FLOAT if self.work.lora is not None else self.work.dtype)

    @cached_property
    def state_bytes(self) -> int:
        """Of the optimizer's state."""
        return self.trained_bytes * self.work.states

    @cached_property
    def casts(self) -> int:
        """Of the bfloat16 copies of weights that mixed precision keeps until the optimizer steps."""
        if not self.work.mixed:
            return 0
        cast = count(matrices(self.trained))
        if self.work.lora is not None and not self.work.checkpointing and self.work.dtype == FLOAT:
            text = {n: s for n, s in matrices(self.shapes).items() if n not in of_tower(self.shapes)}
            cast += count(text)  # of frozen weights too, which the way back reads
        elif self.work.lora is None and self.work.dtype < FLOAT:
            cast = 0
        return 2 * cast

    @cached_property
    def gathered(self) -> tuple[int, int]:
        """Of whole weights that sharding gathers at once, and of their gradients.

        What is in no layer is gathered for a pass, in the type of the weights, and cast; of the layers two,
        in the type of products. Gradients are added up in float32.
        """
        if self.work.shards == 1:
            return 0, 0
        sizes, trained = layers({**self.shapes, **self.adapters}), layers(self.trained)
        loose, trains = sizes.pop("", 0), trained.pop("", 0)
        size = self.work.dtype + (2 if self.work.mixed and self.work.dtype == FLOAT else 0)
        two = 2 * max(sizes.values()) * self.work.compute
        return loose * size + two, (trains + 2 * max(trained.values(), default=0)) * FLOAT


def gpu_parts(work: Work, capacity: int | None) -> Parts:
    """Return the bytes of each part in each phase, for one rank.

    Args:
        work: what a fit does.
        capacity: of a GPU, bytes, of which an engine takes its share; None where it is not known.
    """
    weights, largest, shards = Weights(work), work.largest_pass(), work.shards
    held = ceil(weights.bytes / shards)
    gradients, state = ceil(weights.trained_bytes / shards), ceil(weights.state_bytes / shards)
    seen = activations(work, largest)
    beside = gradients if largest.count > 1 else max(0, gradients - seen.text - seen.tower)
    parts: Parts = {"weights": (held, held, held)}
    parts["gradients"] = (0, beside, gradients)  # those of a single pass grow as its activations go
    parts["optimizer state"] = (state, state, state)
    if work.reference and work.lora is None:
        kept = of_tower(weights.shapes) if work.frozen_tower else {}
        copy = ceil((count(weights.shapes) - count(kept)) * work.dtype / shards)
        parts["reference"] = (copy, copy, copy)
    if work.averaged:
        parts["average of the weights"] = (held, held, held)
    if work.ranks > 1 and not work.sharded:
        parts["buckets of the exchange"] = (gradients, gradients, gradients)
    if work.sharded and work.shards > 1:
        whole, of_them = weights.gathered
        parts["gathered weights"] = (whole, whole, 0)
        parts["gathered gradients"] = (0, of_them, 0)
    else:
        parts["cast weights"] = (0, weights.casts, weights.casts)
    parts["activations of the text"] = (0, seen.text, 0)
    parts["activations of the tower"] = (0, seen.tower, 0)
    if work.frozen_tower and not work.plain_pass:
        features = work.prompts * work.visual * work.sizes.width * work.compute
        parts["features of the pictures"] = (0 if work.engine.own else features, features, features)
    parts["logits, or a layer on the way back"] = (0, seen.passing, 0)
    for name, (draws, trains) in drawing(work, weights.shapes, capacity).items():
        parts[name] = (draws, trains, trains)
    parts["optimizer's working memory"] = (0, 0, _working(work, weights))
    if not work.on_cpu:
        parts["CUDA, its libraries, gaps (a guess)"] = (CUDA, CUDA, CUDA)
    return {name: part for name, part in parts.items() if any(part)}


def _working(work: Work, weights: Weights) -> int:
    """Return what the optimizer computes with: on a GPU all weights at once, else one after another."""
    sizes = [prod(shape) for shape in weights.trained.values()]
    size = FLOAT if work.lora else work.dtype
    compared = sum(min(each, MOST) for each in sizes) * size  # by ``update_norm``
    if work.on_cpu:
        return compared + 2 * max(sizes, default=0) * size
    return ceil((compared + weights.trained_bytes) / work.shards)


def totals(parts: Mapping[str, tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return the sum of all parts in each phase."""
    draws, back, step = (sum(part[phase] for part in parts.values()) for phase in range(3))
    return draws, back, step
