"""What a fit takes beside its GPUs: memory of the host, room on the disk, hours."""

from __future__ import annotations

from math import ceil, prod

from observer.planning.activations import FLOAT
from observer.planning.drawing import engine_weights
from observer.planning.memory import Weights
from observer.planning.parameters import count
from observer.planning.work import Work

LIBRARIES, LIBRARIES_WITH_VLLM = 1_000_000_000, 3_000_000_000
"""Bytes of a process that has imported all it needs; the second is a guess."""


def host_parts(work: Work) -> dict[str, int]:
    """Return the bytes of a host's memory by part, for all ranks on it."""
    weights, on_host = Weights(work), ceil(work.ranks / work.nodes)
    patches = work.visual * work.sizes.tower.merge**2
    picture = patches * work.sizes.tower.patch_numbers * FLOAT
    copies = 2 if work.reference and work.lora is None else 1
    largest = max(map(prod, weights.shapes.values())) * work.dtype
    parts = {
        "Python, torch and other libraries": LIBRARIES_WITH_VLLM if work.engine.own else LIBRARIES,
        "weights, until they are on the GPU": ceil(weights.bytes * copies / work.shards),
        "the engine's weights, while it sleeps": engine_weights(work, weights.shapes) if _sleeps(work) else 0,
        "pictures of two steps": 2 * work.prompts * picture,
    }
    if work.on_cpu:
        parts["weights, until they are on the GPU"] = 0
    parts = {name: size * on_host for name, size in parts.items() if size}
    return parts | {"a checkpoint, while it is written, a weight at a time": largest}


def _sleeps(work: Work) -> bool:
    return bool(work.engine.options.get("sleep", True)) and not work.on_cpu


def disk_parts(work: Work) -> dict[str, int]:
    """Return the bytes on disk by part."""
    weights = Weights(work)
    saved = weights.trained_bytes if work.lora is not None else weights.bytes
    checkpoint = saved * (2 if work.averaged else 1) + weights.state_bytes
    parts = {"checkpoints/last.ckpt": checkpoint, "checkpoints/previous.ckpt": checkpoint}
    if work.validates:
        parts["checkpoints/best.ckpt"] = checkpoint
    if work.exported:
        adapters = count(weights.adapters) * FLOAT
        parts["export"] = count(weights.shapes) * work.exported + adapters
    return parts
