"""Where transformers' models find group attention: by name, like any other attention of theirs."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUP_ATTENTION = "group_sdpa"
"""The name of ``group_attention`` among the attention implementations of transformers."""


class Layout(Protocol):
    """Says which tokens of a batch see which."""

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        dropout: float,
    ) -> torch.Tensor:
        """Attend.

        Args:
            layer: index of the layer.
            query: (B, query heads, S, head dim).
            key: (B, key heads, S, head dim).
            value: as ``key``.
            scale: of the products of queries and keys.
            dropout: share of attention weights that is dropped.

        Returns:
            (B, S, query heads, head dim).
        """


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
        query: see ``Layout``.
        key: see ``Layout``.
        value: see ``Layout``.
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
    return layout.attend(module.layer_idx, query, key, value, options["scaling"], options["dropout"]), None


AttentionInterface.register(GROUP_ATTENTION, group_attention)
AttentionMaskInterface.register(GROUP_ATTENTION, sdpa_mask)
