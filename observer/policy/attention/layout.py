"""Attention of a whole pass over prompts and their completions, with gradients.

Nothing is cached, so gradient checkpointing works, and gradients add up over a group by autograd alone.
Prompts of one length attend together, so that no mask is needed: the fast kernels take none.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention


class Heads(NamedTuple):
    """The inputs of one attention layer."""

    layer: int
    """Its index."""
    query: torch.Tensor
    """(B, query heads, S, head dim)."""
    key: torch.Tensor
    """(B, key heads, S, head dim)."""
    value: torch.Tensor
    """As ``key``."""
    scale: float
    """Factor of the products of queries and keys."""
    dropout: float
    """Share of attention weights that is dropped."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Sequences packed one after the other, and where they lie in a table padded on the right."""

    tokens: int
    """Tokens of all sequences."""
    shape: tuple[int, int]
    """Rows and longest length of the table."""
    cells: torch.Tensor | None
    """Which cells of the flattened table hold a token, int64; None where all do."""

    @staticmethod
    def of(lengths: Sequence[int], device: torch.device) -> Rows:
        """Return the rows of sequences with these lengths."""
        longest = max(lengths)
        cells = None
        if min(lengths) < longest:
            real_B_S = torch.arange(longest) < torch.tensor(lengths)[:, None]
            cells = real_B_S.flatten().nonzero()[:, 0].to(device)
        return Rows(sum(lengths), (len(lengths), longest), cells)

    def table(self, packed_S_H_D: torch.Tensor) -> torch.Tensor:
        """Return packed sequences as a table, (B, H, S, D), 0 as padding."""
        if self.cells is not None:
            empty = packed_S_H_D.new_zeros(self.shape[0] * self.shape[1], *packed_S_H_D.shape[1:])
            packed_S_H_D = empty.index_copy(0, self.cells, packed_S_H_D)
        return torch.unflatten(packed_S_H_D, 0, self.shape).transpose(1, 2)

    def packed(self, table_B_H_S_D: torch.Tensor) -> torch.Tensor:
        """Return the tokens of a table as packed sequences, (S, H, D)."""
        flat_S_H_D = table_B_H_S_D.transpose(1, 2).flatten(0, 1)
        return flat_S_H_D if self.cells is None else flat_S_H_D.index_select(0, self.cells)


@dataclass(frozen=True, eq=False)
class Tails:
    """Completions of a block that attend together."""

    rows: Rows
    owner_N: torch.Tensor
    """The row of each completion's prompt, int64."""
    group_size: int | None
    """Completions per prompt; None where prompts differ in it."""

    def spread(self, prompts_P_H_S_D: torch.Tensor) -> torch.Tensor:
        """Repeat the tensor of each prompt for its completions, (N, H, S, D)."""
        if self.group_size is None:
            return prompts_P_H_S_D.index_select(0, self.owner_N)
        # Gradients of an expanded tensor are summed, which is faster than adding them up row by row.
        return prompts_P_H_S_D[:, None].expand(-1, self.group_size, -1, -1, -1).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Block:
    """Prompts of one length and their completions, in few tables of like lengths."""

    prompts: Rows
    tails: tuple[Tails, ...]
    """None where no completion has a token in the pass."""
    order_S: torch.Tensor | None
    """The tokens of the completions in the order of the tables, int64; None where that is their own."""

    @staticmethod
    def of(prompts: int, length: int, lengths: Sequence[int], owners: Sequence[int], device: Any) -> Block:
        """Lay out prompts of one length.

        Args:
            prompts: how many.
            length: tokens of each.
            lengths: tokens of each completion in the pass; may be 0.
            owners: the prompt of each completion, ascending.
            device: where the model is.
        """
        counts = {owners.count(prompt) for prompt in range(prompts)}
        tables = _tables(lengths)
        uncut = len(tables) == 1 and len(tables[0]) == len(lengths)
        group_size = counts.pop() if uncut and len(counts) == 1 else None
        tails = [
            Tails(
                Rows.of([lengths[row] for row in rows], device),
                torch.tensor([owners[row] for row in rows], device=device),
                group_size,
            )
            for rows in tables
        ]
        order_S = None
        if len(tables) > 1:
            tokens = torch.split(torch.arange(sum(lengths)), list(lengths))
            order_S = torch.cat([tokens[row] for rows in tables for row in rows]).to(device)
        return Block(Rows.of([length] * prompts, device), tuple(tails), order_S)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the prompts, and of all completions."""
        return self.prompts.tokens, sum(tails.rows.tokens for tails in self.tails)

    def attend(
        self, heads: Sequence[tuple[torch.Tensor, torch.Tensor]], options: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the attention output of the prompts and of the completions, (S, H, D) each.

        Args:
            heads: queries, keys and values, each of the prompts and of the completions, (S, H, D).
            options: of SDPA.
        """
        prompts, completions = zip(*heads, strict=True)
        query, prompt_key, prompt_value = map(self.prompts.table, prompts)
        of_prompts = scaled_dot_product_attention(query, prompt_key, prompt_value, is_causal=True, **options)
        if self.order_S is not None:
            completions = tuple(tensor.index_select(0, self.order_S) for tensor in completions)
        parts = [torch.split(tensor, [tails.rows.tokens for tails in self.tails]) for tensor in completions]
        seen = [completions[0][:0]]
        for tails, *packed in zip(self.tails, *parts, strict=True):
            query, own_key, own_value = map(tails.rows.table, packed)
            keys = torch.cat([tails.spread(prompt_key), own_key], dim=2)
            values = torch.cat([tails.spread(prompt_value), own_value], dim=2)
            # A token sees its prompt and its completion up to itself; padding on the right is never seen.
            mask = causal_lower_right(query.shape[2], keys.shape[2])
            attended = scaled_dot_product_attention(query, keys, values, attn_mask=mask, **options)
            seen.append(tails.rows.packed(attended))
        seen_S_H_D = torch.cat(seen)
        if self.order_S is not None:
            seen_S_H_D = seen_S_H_D.index_select(0, self.order_S.argsort())
        return self.prompts.packed(of_prompts), seen_S_H_D


def _tables(lengths: Sequence[int]) -> list[list[int]]:
    """Cut rows into tables that, padded to their longest row, have at most twice as many slots as tokens.

    Queries, keys, values and outputs of all slots are kept for the backward pass: one long completion among
    many short ones would take many times the memory that their tokens are counted for.
    """
    if len(lengths) * max(lengths, default=0) <= 2 * sum(lengths):
        return [list(range(len(lengths)))] if any(lengths) else []
    doubling: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        if length:
            doubling.setdefault(length.bit_length(), []).append(row)
    return list(doubling.values())


@dataclass(frozen=True, eq=False)
class GroupLayout:
    """A packed sequence: prompts in ascending length, then the completions in the order of their prompts."""

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
            completion_lengths: tokens of each completion in the pass; may be 0.
            owners: the prompt of each completion, ascending.
            device: where the model is.
        """
        blocks = []
        for length in sorted(set(prompt_lengths)):
            members = range(bisect_left(prompt_lengths, length), bisect_right(prompt_lengths, length))
            rows = slice(bisect_left(owners, members.start), bisect_left(owners, members.stop))
            own = [owner - members.start for owner in owners[rows]]
            blocks.append(Block.of(len(members), length, completion_lengths[rows], own, device))
        return GroupLayout(tuple(blocks))

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend; see ``Layout``. B is 1."""
        options: dict[str, Any] = {"scale": heads.scale, "dropout_p": heads.dropout, "enable_gqa": True}
        in_blocks = [self._split(tensor) for tensor in (heads.query, heads.key, heads.value)]
        seen = [block.attend(own, options) for block, *own in zip(self.blocks, *in_blocks, strict=True)]
        prompts, completions = zip(*seen, strict=True)
        return torch.cat([*prompts, *completions])[None]

    def _split(self, heads_1_H_S_D: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Split a packed sequence into the prompts and the completions of each block, (S, H, D) each."""
        prompts, completions = zip(*(block.tokens for block in self.blocks), strict=True)
        parts = torch.split(heads_1_H_S_D[0].transpose(0, 1), [*prompts, *completions])
        return list(zip(parts[: len(prompts)], parts[len(prompts) :], strict=True))
