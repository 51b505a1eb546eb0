"""The denominator of an update's loss: named, and counted over all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Denominator = Literal["tokens", "micro_batch", "sequences", "constant"]


@dataclass(frozen=True)
class UpdateCounts:
    """What enters an update, counted over all ranks."""

    tokens: float
    """Completion tokens."""
    sequences: float
    """Completions."""
    micro_batches: float
    """Forward and backward passes."""


def reduced(
    loss_N_T: torch.Tensor,
    mask_N_T: torch.Tensor,
    denominator: Denominator,
    counts: UpdateCounts,
    max_tokens: int,
) -> torch.Tensor:
    """Return the share that a micro-batch has in the loss of its update; these shares add up to the loss.

    ``tokens``: sum / tokens of the update. ``sequences``: the mean over its sequences of their means over
    tokens, so that a token of a long completion counts less. ``constant``: sum / (sequences * max_tokens), as
    Dr. GRPO (arXiv 2503.20783) does, so that no length changes what a token counts. ``micro_batch``: the mean
    over micro-batches of their means over tokens, which depends on how the update was cut.

    Args:
        loss_N_T: loss of each token; values outside the mask are ignored.
        mask_N_T: bool, where there is a token.
        denominator: by what the loss is divided.
        counts: of the update.
        max_tokens: the limit of a completion.

    Sequences of 1 and 3 tokens with a loss of 6 per token, all of the update:

    >>> loss, mask = torch.full((2, 3), 6.0), torch.tensor([[True, False, False], [True, True, True]])
    >>> counts = UpdateCounts(tokens=4, sequences=2, micro_batches=1)
    >>> [float(reduced(loss, mask, kind, counts, 8)) for kind in ("tokens", "sequences", "constant")]
    [6.0, 6.0, 1.5]
    """
    kept_N_T = loss_N_T.masked_fill(~mask_N_T, 0.0)
    if denominator == "sequences":
        return (kept_N_T / mask_N_T.sum(-1, keepdim=True).clamp(min=1)).sum() / counts.sequences
    if denominator == "micro_batch":
        return kept_N_T.sum() / (mask_N_T.sum() * counts.micro_batches)
    return kept_N_T.sum() / (counts.tokens if denominator == "tokens" else counts.sequences * max_tokens)
