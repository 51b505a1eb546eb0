"""A token a row through the text layers of a model, and nothing around them. No gradients.

What transformers does around its layers (masks, caches, outputs, two dozen calls a layer) costs a small model
as much as they do. Here are the same modules in the same order; a test holds them to the policy.
"""

from __future__ import annotations

from typing import Any

import torch

from observer.attention.decoding import Decoding
from observer.attention.layout import Heads


class TextStep:
    """The text layers of a model of the Qwen2-VL kind, for tokens at some positions."""

    def __init__(self, text: Any, first: int, last: int) -> None:
        """Work out the rotary angles of all positions once.

        Args:
            text: the text model.
            first: the lowest rotary position that will be asked for; on all three axes, as in all text.
            last: the highest.
        """
        self._text, self._first = text, first
        weight = text.embed_tokens.weight
        position_1_T = torch.arange(first, last + 1, device=weight.device)[None]
        cos, sin = text.rotary_emb(weight, position_1_T.expand(3, 1, -1))
        half = sin.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        self._turns_T_2_1_D = torch.stack([cos[0], sin[0]], dim=1)[:, :, None]

    def __call__(self, ids_N: torch.Tensor, position_N: torch.Tensor, decoding: Decoding) -> torch.Tensor:
        """Return the hidden states of a token a row, (N, D).

        Args:
            ids_N: tokens, none of a picture.
            position_N: their rotary positions.
            decoding: what the rows attend to; the tokens join it.
        """
        hidden_N_D = self._text.embed_tokens(ids_N)
        cos, sin = self._turns_T_2_1_D.index_select(0, position_N - self._first).unbind(1)  # (N, 1, head dim)
        half = sin.shape[-1] // 2
        for index, layer in enumerate(self._text.layers):
            attention = layer.self_attn
            normed_N_D = layer.input_layernorm(hidden_N_D)
            query, key, value = (
                project(normed_N_D).unflatten(-1, (-1, attention.head_dim))
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            if hasattr(attention, "q_norm"):  # Qwen3-VL
                query, key = attention.q_norm(query), attention.k_norm(key)
            both = torch.cat([query, key], dim=1)
            both = torch.addcmul(both * cos, both.roll(half, -1), sin).to(value.dtype)
            query, key = both.split([query.shape[1], key.shape[1]], dim=1)
            query, key, value = (part[:, :, None] for part in (query, key, value))
            heads = Heads(index, query, key, value, attention.scaling, dropout=0.0)
            hidden_N_D = hidden_N_D + attention.o_proj(decoding.attend(heads).flatten(1))
            hidden_N_D = hidden_N_D + layer.mlp(layer.post_attention_layernorm(hidden_N_D))
        return self._text.norm(hidden_N_D)
