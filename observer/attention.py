"""Attention in which the completions of a group read the keys and values of one shared prompt.

A pass lays prompts and completions out in one sequence without padding: every prompt once, then all completions.
Everything that works token by token runs over that sequence as over any other; only attention has to know who
belongs to whom, and it is told by a ``GroupLayout``. Nothing is cached, so gradient checkpointing works, and
gradients add up over a group by autograd alone. Without a layout this is transformers' SDPA.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUP_ATTENTION = "group_sdpa"
"""The name under which transformers' models find ``group_attention``."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Sequences of unequal length that lie behind each other in a packed one, as a padded table and back."""

    places_B_S: torch.Tensor
    """Where each token of each row lies in the packed sequence, int64; padded on the right with any place."""
    cells: torch.Tensor
    """Which cells of the flattened table hold a token, in the order of the packed sequence, int64."""

    @staticmethod
    def of(lengths: Sequence[int], first: int, device: torch.device) -> Rows:
        """Return rows of some lengths that start at place ``first``."""
        lengths_B = torch.tensor(lengths)
        steps_S = torch.arange(max(lengths))
        starts_B = first + lengths_B.cumsum(0) - lengths_B
        real_B_S = steps_S < lengths_B[:, None]
        places_B_S = (starts_B[:, None] + steps_S).masked_fill(~real_B_S, first)
        return Rows(places_B_S.to(device), real_B_S.flatten().nonzero()[:, 0].to(device))

    def padded(self, packed_S_H_D: torch.Tensor) -> torch.Tensor:
        """Return a packed tensor as a table, (B, H, S, D)."""
        return packed_S_H_D[self.places_B_S].transpose(1, 2)

    def packed(self, padded_B_H_S_D: torch.Tensor) -> torch.Tensor:
        """Return a table's tokens in the order of the packed sequence, (S, H, D)."""
        return padded_B_H_S_D.transpose(1, 2).flatten(0, 1)[self.cells]


@dataclass(frozen=True, eq=False)
class Block:
    """Prompts of one length and their completions. Equal lengths need no mask, which fast kernels refuse."""

    prompts: Rows
    completions: Rows | None
    """None where no completion has a token to pass in."""
    owner_N: torch.Tensor
    """The row of each completion's prompt, int64."""


@dataclass(frozen=True, eq=False)
class GroupLayout:
    """Which tokens of a packed sequence belong together: the prompts of all blocks, then all completions."""

    blocks: tuple[Block, ...]

    @staticmethod
    def of(
        prompt_lengths: Sequence[int],
        completion_lengths: Sequence[int],
        owners: Sequence[int],
        device: torch.device,
    ) -> GroupLayout:
        """Lay out prompts and completions.

        Args:
            prompt_lengths: tokens of each prompt, ascending.
            completion_lengths: tokens of each completion that are passed in; may be 0.
            owners: the prompt of each completion, ascending.
            device: where the model is.
        """
        blocks = []
        first_prompt, first_completion = 0, sum(prompt_lengths)
        for length in sorted(set(prompt_lengths)):
            members = range(bisect_left(prompt_lengths, length), bisect_right(prompt_lengths, length))
            rows = slice(bisect_left(owners, members.start), bisect_left(owners, members.stop))
            lengths = completion_lengths[rows]
            blocks.append(
                Block(
                    Rows.of([length] * len(members), first_prompt, device),
                    Rows.of(lengths, first_completion, device) if any(lengths) else None,
                    torch.tensor(owners[rows], device=device) - members.start,
                )
            )
            first_prompt, first_completion = first_prompt + length * len(members), first_completion + sum(lengths)
        return GroupLayout(tuple(blocks))


def group_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    layout: GroupLayout | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as a layout says; without one, as transformers' SDPA does.

    Args:
        module: the attention module.
        query: (B, query heads, S, head dim); B is 1 with a layout.
        key: (B, key heads, S, head dim).
        value: as ``key``.
        attention_mask: only without a layout.
        layout: who sees whom.
        options: ``scaling`` and ``dropout``; those of transformers' SDPA without a layout.

    Returns:
        (B, S, query heads, head dim), and no attention weights.
    """
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    # Rotary positions leave float32 behind where the rest is in a mixed precision's type, as value is.
    query, key, value = (t[0].transpose(0, 1).to(value.dtype) for t in (query, key, value))
    arguments = {"scale": options["scaling"], "dropout_p": options["dropout"], "enable_gqa": True}
    of_prompts, of_completions = [], []
    for block in layout.blocks:
        # Padding lies on the right, where causal attention does not look.
        prompt_query, prompt_key, prompt_value = (block.prompts.padded(t) for t in (query, key, value))
        attended = scaled_dot_product_attention(
            prompt_query, prompt_key, prompt_value, is_causal=True, **arguments
        )
        of_prompts.append(block.prompts.packed(attended))
        if block.completions is None:
            continue
        own_query, own_key, own_value = (block.completions.padded(t) for t in (query, key, value))
        keys = torch.cat([prompt_key[block.owner_N], own_key], dim=2)
        values = torch.cat([prompt_value[block.owner_N], own_value], dim=2)
        see = causal_lower_right(own_query.shape[2], keys.shape[2])
        attended = scaled_dot_product_attention(own_query, keys, values, attn_mask=see, **arguments)
        of_completions.append(block.completions.packed(attended))
    return torch.cat([*of_prompts, *of_completions])[None], None


AttentionInterface.register(GROUP_ATTENTION, group_attention)
AttentionMaskInterface.register(GROUP_ATTENTION, sdpa_mask)
