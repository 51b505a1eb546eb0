"""What a forward and backward pass keeps: tensors that autograd saves, counted as the layers save them.

The counts were read off autograd's saved tensors and are held by a test against live tensors. S: tokens of a
pass, D: width, F: width inside an MLP, N: completions.
"""

from __future__ import annotations

from dataclasses import dataclass

from observer.planning.work import Pass, Work
from observer.policy.logits import HEAD_BYTES

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Activations:
    """Bytes that a forward and backward pass holds at its largest."""

    text: int
    """Of the text layers."""
    tower: int
    """Of the vision tower; 0 where it is frozen."""
    passing: int
    """Logits, a chunk at a time, and what is computed of them; or what a layer takes on the way back."""


def activations(work: Work, largest: Pass) -> Activations:
    """Return what a pass holds.

    Args:
        work: what a fit does.
        largest: the pass.
    """
    back = _returning(work, tokens(work, largest))
    if work.checkpointing:  # what a layer keeps is computed anew when the way back comes to it
        back = max(back + _text_layer(work, largest), _tower_layer(work, largest))
    return Activations(_text(work, largest), _tower(work, largest), max(_head(work, largest), back))


def tokens(work: Work, largest: Pass) -> int:
    """Return the tokens that go through the text layers; the last of a completion does not."""
    own = largest.rows * (work.completion - 1)
    if work.plain_pass:
        return largest.rows * work.prompt + own
    return largest.prompts * work.prompt + own


def _text(work: Work, largest: Pass) -> int:
    sizes, all_tokens = work.sizes, tokens(work, largest)
    layer = all_tokens * sizes.width * _residual(work) if work.checkpointing else _text_layer(work, largest)
    chosen = largest.rows * work.completion * sizes.width * (_residual(work) + work.compute * work.mixed)
    last = all_tokens * sizes.width * FLOAT  # what the norm after the layers keeps
    return sizes.layers * layer + last + chosen


def _residual(work: Work) -> int:
    """Return the bytes of a number between layers: those of the embedding."""
    return work.dtype


def _returning(work: Work, all_tokens: int) -> int:
    """Return the gradients that are alive while the backward pass goes through a layer."""
    return all_tokens * (2 * work.sizes.inner * work.compute + work.sizes.width * _residual(work))


def _text_layer(work: Work, largest: Pass) -> int:
    sizes, compute, all_tokens = work.sizes, work.compute, tokens(work, largest)
    lora = work.lora is not None
    # Each product casts what it reads: mixed precision the norm's float32, adapters weights of bfloat16.
    copies = 5 if work.mixed and (work.dtype == FLOAT or lora) else 5 if lora and work.dtype < FLOAT else 2
    read = FLOAT if lora and not work.mixed else compute
    norms = 2 * sizes.width * max(_residual(work), work.dtype)
    per_token = norms + copies * sizes.width * read
    per_token += (2 * sizes.query_width + 2 * sizes.key_width) * compute  # queries, output, keys, values
    per_token += sizes.query_width * read + sizes.heads * FLOAT
    per_token += 3 * sizes.inner * compute + sizes.inner * read
    if lora:
        assert work.lora is not None
        per_token += 7 * work.lora.rank * (compute if work.mixed else FLOAT)
    # Keys and values of a prompt are repeated for its completions.
    seen = work.prompt + work.completion - 1
    spread = 0 if work.plain_pass else largest.rows * seen * 2 * sizes.key_width * compute
    mask = (work.completion - 1) * seen * compute if work.on_cpu else 0
    return all_tokens * per_token + spread + mask


def _head(work: Work, largest: Pass) -> int:
    """Return the logits of a chunk, their log-probs and probabilities, and a cast copy."""
    drawn = largest.rows * work.completion
    chunk = min(drawn * work.sizes.vocabulary * FLOAT, HEAD_BYTES)
    return chunk * (3 + work.entropy_gradients) + (chunk // 2 if work.compute < FLOAT else 0)


def _patches(work: Work, largest: Pass) -> int:
    """Return the patches that go through the tower with gradients."""
    pictures = largest.rows if work.plain_pass else largest.prompts
    return 0 if work.frozen_tower else pictures * work.visual * work.sizes.tower.merge**2


def _tower_layer(work: Work, largest: Pass) -> int:
    tower, compute = work.sizes.tower, work.compute
    inner = (4 if tower.gated else 2) * tower.inner
    if work.mixed:
        per_patch = 2 * (FLOAT + compute) * tower.width + 3 * compute * tower.width
    else:
        per_patch = 4 * compute * tower.width
    per_patch += (1 + 3 + 3) * compute * tower.width + inner * compute
    return _patches(work, largest) * per_patch


def _tower(work: Work, largest: Pass) -> int:
    tower, compute, patches = work.sizes.tower, work.compute, _patches(work, largest)
    layer = patches * tower.width * compute if work.checkpointing else _tower_layer(work, largest)
    ends = patches * (tower.patch_numbers * compute + (3 * compute + FLOAT) * tower.width)
    return tower.layers * layer + ends + patches // tower.merge**2 * work.sizes.width * compute
