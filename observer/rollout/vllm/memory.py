"""How much memory keys and values take on a CPU, where vLLM would otherwise take a share of all there is."""

from __future__ import annotations

import os
from typing import Any

import torch


def key_value_bytes(config: Any, dtype: str, tokens: int, share: float) -> int:
    """Return the bytes for keys and values: as many as can be used, and no more than a share of free memory.

    Args:
        config: of the model.
        dtype: of keys and values.
        tokens: of all sequences that are drawn at once, at their longest.
        share: of the free memory, at most.
    """
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    per_token = 2 * text.num_hidden_layers * text.num_key_value_heads * size * getattr(torch, dtype).itemsize
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(tokens * per_token, share * free))
