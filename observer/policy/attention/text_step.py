"""One decoding step: one token per row through the text layers. No gradients.

The code of transformers around its layers (masks, caches, outputs, two dozen calls per layer) takes as long
as the layers of a small model. Here the same modules run in the same order; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from observer.policy.attention.interface import Layout
from observer.policy.attention.layout import Heads


class TextStep:
    """The text layers of a model of the Qwen2-VL kind, for tokens at some positions."""

    def __init__(self, text: Any, first: int, last: int) -> None:
        """Compute once what all tokens share: rotary angles, and the weights of joined projections.

        Args:
            text: the text model. Its weights must not change while this is in use.
            first: the lowest rotary position that will be asked for; on all three axes, as in all text.
            last: the highest.
        """
        self._text, self._first = text, first
        weight = text.embed_tokens.weight
        position_1_T = torch.arange(first, last + 1, device=weight.device)[None]
        cos, sin = text.rotary_emb(weight, position_1_T.expand(3, 1, -1))
        half = sin.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        self._turns_T_2_1_1_D = torch.stack([cos[0], sin[0]], dim=1)[:, :, None, None]
        self._projections = [_side_by_side(layer.self_attn) for layer in text.layers]
        self._norms_heads = hasattr(text.layers[0].self_attn, "q_norm")  # Qwen3-VL

    def __call__(self, ids_N: torch.Tensor, position_N: torch.Tensor, decoding: Layout) -> torch.Tensor:
        """Return the hidden state of one token per row, (N, D).

        Args:
            ids_N: text tokens, one per row.
            position_N: their rotary positions.
            decoding: ``Decoding`` or ``Together``, with keys and values of the rows so far; those of these
                tokens are appended.
        """
        hidden_N_D = self._text.embed_tokens(ids_N)
        cos, sin = self._turns_T_2_1_1_D.index_select(0, position_N - self._first).unbind(1)
        half = sin.shape[-1] // 2
        key_heads = self._text.config.num_key_value_heads
        for index, (layer, project) in enumerate(zip(self._text.layers, self._projections, strict=True)):
            attention = layer.self_attn
            projected_N_F = project(layer.input_layernorm(hidden_N_D))
            heads_N_H_1_D = projected_N_F.view(len(ids_N), -1, 1, attention.head_dim)
            turned, value = heads_N_H_1_D[:, :-key_heads], heads_N_H_1_D[:, -key_heads:]
            if self._norms_heads:
                query, key = turned[:, :-key_heads], turned[:, -key_heads:]
                turned = torch.cat([attention.q_norm(query), attention.k_norm(key)], dim=1)
            turned = torch.addcmul(turned * cos, turned.roll(half, -1), sin).to(value.dtype)
            query, key = turned[:, :-key_heads], turned[:, -key_heads:]
            heads = Heads(index, query, key, value, attention.scaling, dropout=0.0)
            hidden_N_D = hidden_N_D + attention.o_proj(decoding.attend(heads).flatten(1))
            hidden_N_D = hidden_N_D + layer.mlp(layer.post_attention_layernorm(hidden_N_D))
        normed_N_D: torch.Tensor = self._text.norm(hidden_N_D)
        return normed_N_D


def _side_by_side(attention: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Join the projections to queries, keys and values into one product: a third of the calls.

    The weights are copied, and hooks on the three modules do not run.
    """
    parts = attention.q_proj, attention.k_proj, attention.v_proj
    if any(type(part) is not nn.Linear for part in parts):  # with adapters, say
        return lambda hidden_N_D: torch.cat([part(hidden_N_D) for part in parts], dim=-1)
    weight = torch.cat([part.weight for part in parts])
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    kind = weight.device.type
    # Autocast caches its casts of parameters only; it would cast this copy for every token.
    if torch.is_autocast_enabled(kind):
        weight = weight.to(torch.get_autocast_dtype(kind))
        bias = None if bias is None else bias.to(weight.dtype)
    return partial(nn.functional.linear, weight=weight, bias=bias)
