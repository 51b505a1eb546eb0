"""Where transformers' models find group attention: by name, like any other attention of theirs."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from observer.attention.layout import Heads

GROUP_ATTENTION = "group_sdpa"
"""The name of ``group_attention`` among the attention implementations of transformers."""


class Layout(Protocol):
    """Says which tokens of a batch see which."""

    def attend(self, heads: Heads) -> torch.Tensor:
        """Return what the tokens see, (B, S, query heads, head dim)."""


def group_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as a layout says; without one, as transformers' SDPA does.

    Args:
        module: the attention module.
        query: see ``Heads``.
        key: see ``Heads``.
        value: see ``Heads``.
        attention_mask: only without a layout.
        layout: who sees whom.
        options: ``scaling``, ``dropout`` and what else SDPA takes.

    Returns:
        What SDPA returns: (B, S, query heads, head dim), and no attention weights.
    """
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    # Rotary positions leave float32 behind where the rest, as value, is in the type of a mixed precision.
    query, key = query.to(value.dtype), key.to(value.dtype)
    heads = Heads(module.layer_idx, query, key, value, options["scaling"], options["dropout"])
    return layout.attend(heads), None


AttentionInterface.register(GROUP_ATTENTION, group_attention)
AttentionMaskInterface.register(GROUP_ATTENTION, sdpa_mask)
