"""What an engine takes while it draws, and while the policy trains."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from observer.planning.parameters import count, of_tower
from observer.planning.work import BYTES, Work
from observer.policy.logits import HEAD_BYTES
from observer.rollout import TransformersEngine
from observer.rollout.cohort import PREFILL_TOKENS

WORKING = 1_500_000_000
"""Bytes that vLLM takes beside weights, keys and values: activations, captured graphs. A guess."""


def drawing(
    work: Work, shapes: Mapping[str, tuple[int, ...]], capacity: int | None
) -> dict[str, tuple[int, int]]:
    """Return the bytes of each part while drawing, and while training.

    Args:
        work: what a fit does.
        shapes: of the model's parameters.
        capacity: of a GPU, bytes; None where it is not known.
    """
    if work.engine.own:
        return _own(work, shapes, capacity)
    return _shared(work, shapes)


def key_value_bytes(work: Work, size: int) -> int:
    """Return the bytes of a token's keys and values in all layers.

    Args:
        work: what a fit does.
        size: bytes of a number.
    """
    return 2 * work.sizes.layers * work.sizes.key_width * size


def _shared(work: Work, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    """Of the engine that samples with the policy's own module."""
    sizes = work.sizes
    most = int(work.engine.number("tokens_at_once", TransformersEngine().tokens_at_once))
    of_group = work.prompt + work.group * work.completion
    groups = min(work.prompts, max(1, most // of_group))
    rows = groups * work.group
    slots = groups * (work.prompt + work.group * (work.completion - 1))
    passed = min(groups * work.prompt, max(PREFILL_TOKENS, work.prompt))
    prefill = passed * (3 * sizes.inner + 2 * sizes.query_width + 4 * sizes.width) * work.compute
    scores = 3 * rows * sizes.heads * (work.prompt + work.completion) * 4
    logits = 3 * min(rows * sizes.vocabulary * 4, HEAD_BYTES)
    joined = sizes.layers * sizes.width * (sizes.query_width + 2 * sizes.key_width) * work.compute
    parts = {
        "keys and values": (slots * key_value_bytes(work, work.compute), 0),
        "joined projections": (0 if work.lora else joined, 0),
        "a pass of drawing": (max(prefill, scores + logits), 0),
    }
    if work.mixed and work.dtype == 4:
        text = count(shapes) - count(of_tower(shapes))
        parts["cast weights for drawing"] = (2 * text, 0)
    return parts


def _own(
    work: Work, shapes: Mapping[str, tuple[int, ...]], capacity: int | None
) -> dict[str, tuple[int, int]]:
    """Of an engine with weights of its own, as vLLM: it fills its share of a GPU."""
    engine, weights = work.engine, engine_weights(work, shapes)
    asleep = engine.options.get("sleep", True) and not work.on_cpu
    rows = min(engine.number("max_num_seqs", 256), work.prompts * work.group)
    keys = ceil(rows * (work.prompt + work.completion) * key_value_bytes(work, engine_size(work)))
    if capacity is not None:
        room = int(engine.number("memory_share", 0.4) * capacity)
        keys = min(keys, room) if work.on_cpu else max(0, room - weights)
    return {
        "engine: weights": (weights, 0 if asleep else weights),
        "engine: keys, values, working memory": (keys, 0 if asleep else keys),
    }


def engine_size(work: Work) -> int:
    """Return the bytes of a weight of an engine with weights of its own."""
    return BYTES.get(str(work.engine.options.get("dtype")), work.dtype)


def engine_weights(work: Work, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the bytes of the weights that a rank's engine holds for itself."""
    if not work.engine.own:
        return 0
    return ceil(count(shapes) * engine_size(work) / work.engine.number("tensor_parallel", 1))


def engine_lacks(work: Work, shapes: Mapping[str, tuple[int, ...]], capacity: int) -> int:
    """Return the bytes that an engine's share of a GPU lacks for the longest completion; 0 or less: none."""
    if not work.engine.own or work.on_cpu:
        return 0
    longest = (work.prompt + work.completion) * key_value_bytes(work, engine_size(work))
    longest = ceil(longest / work.engine.number("tensor_parallel", 1))
    needed = engine_weights(work, shapes) + longest + WORKING
    return needed - int(work.engine.number("memory_share", 0.4) * capacity)
