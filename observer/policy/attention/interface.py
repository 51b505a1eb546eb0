"""Registers this package's attention in transformers, under names that its models look up."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from observer.policy.attention.layout import Heads, Rows

GROUP_ATTENTION = "group_sdpa"
"""The name of ``group_attention`` among the attention implementations of transformers."""
WINDOW_ATTENTION = "windows_flash_sdpa"
"""The name of ``window_attention``. Because of "flash" in it, a vision tower passes all windows at once."""


class Layout(Protocol):
    """Which tokens of a batch attend to which."""

    def attend(self, heads: Heads) -> torch.Tensor:
        """Return the attention output, (B, S, query heads, head dim)."""


def group_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend by a layout; without one, by transformers' SDPA.

    Args:
        module: the attention module.
        query: see ``Heads``.
        key: see ``Heads``.
        value: see ``Heads``.
        attention_mask: only without a layout.
        layout: which tokens attend to which.
        options: ``scaling``, ``dropout`` and further options of SDPA.

    Returns:
        The attention output, (B, S, query heads, head dim), and no attention weights.
    """
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    # In mixed precision, rotary positions turn queries and keys into float32; values keep the lower type.
    query, key = query.to(value.dtype), key.to(value.dtype)
    heads = Heads(module.layer_idx, query, key, value, options["scaling"], options["dropout"])
    return layout.attend(heads), None


def window_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    cu_seq_lens_q: torch.Tensor,
    scaling: float,
    dropout: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within windows or pictures by SDPA, all of one length in one call.

    Under the name ``sdpa``, transformers makes one call per window, hundreds per layer where they are small.

    Args:
        module: the attention module.
        query: patches, window after window, (1, heads, S, head dim).
        key: as ``query``.
        value: as ``query``.
        attention_mask: none.
        cu_seq_lens_q: where windows begin, and where the last ends.
        scaling: of the products of queries and keys.
        dropout: share of attention weights that is dropped.
        _: the same of keys, and further options of flash attention.

    Returns:
        The attention output, (1, S, heads, head dim), and no attention weights.
    """
    lengths = cu_seq_lens_q.diff().tolist()
    tables = [Rows.of([length] * lengths.count(length), query.device) for length in sorted(set(lengths))]
    packed_S_H_D = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    order_S = None
    if len(tables) > 1:  # put windows of one length together
        windows = torch.split(torch.arange(sum(lengths)), lengths)
        order_S = torch.cat(sorted(windows, key=len)).to(query.device)
        packed_S_H_D = [tensor.index_select(0, order_S) for tensor in packed_S_H_D]
    parts = [torch.split(tensor, [rows.tokens for rows in tables]) for tensor in packed_S_H_D]
    seen = []
    for rows, *own in zip(tables, *parts, strict=True):
        own_query, own_key, own_value = (rows.table(part) for part in own)
        attended = scaled_dot_product_attention(
            own_query, own_key, own_value, scale=scaling, dropout_p=dropout
        )
        seen.append(rows.packed(attended))
    seen_S_H_D = torch.cat(seen)
    if order_S is not None:
        seen_S_H_D = seen_S_H_D.index_select(0, order_S.argsort())
    return seen_S_H_D[None], None


AttentionInterface.register(GROUP_ATTENTION, group_attention)
AttentionMaskInterface.register(GROUP_ATTENTION, sdpa_mask)
AttentionInterface.register(WINDOW_ATTENTION, window_attention)
