"""Attention while sampling: keys and values of a prompt are held once per group. No gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from observer.policy.attention.layout import GroupLayout, Heads, Rows

GROWTH = 64
"""Tokens by which the room for completions grows."""


class Prefill:
    """The passes over packed prompts, some at a time, which keep their keys and values."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        """Lay out prompts; the next pass is over all of them.

        Args:
            lengths: tokens of each prompt, ascending.
            device: where the model is.
        """
        self.lengths = lengths
        self.lengths_P = torch.tensor(lengths, device=device)
        self.keys: dict[int, torch.Tensor] = {}
        """By layer, (P, key heads, S, head dim), padded on the right with 0."""
        self.values: dict[int, torch.Tensor] = {}
        self.take(slice(0, len(lengths)))

    def take(self, prompts: slice) -> None:
        """Set the prompts that the next pass is over."""
        lengths, device = self.lengths[prompts], self.lengths_P.device
        self._prompts, self._rows = prompts, Rows.of(lengths, device)
        self._layout = GroupLayout.of(lengths, [], [], device)

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend, and keep keys and values; see ``Layout``. B is 1."""
        for held, packed_1_H_S_D in ((self.keys, heads.key), (self.values, heads.value)):
            if heads.layer not in held:
                size = len(self.lengths), packed_1_H_S_D.shape[1], self.lengths[-1], packed_1_H_S_D.shape[3]
                held[heads.layer] = packed_1_H_S_D.new_zeros(size)
            table_P_H_S_D = self._rows.table(packed_1_H_S_D[0].transpose(0, 1))
            held[heads.layer][self._prompts, :, : table_P_H_S_D.shape[2]] = table_P_H_S_D
        return self._layout.attend(heads)


class Decoding:
    """The passes that sample: one token per row and pass, each row after its prompt; rows may leave.

    Rows lie in a table of P prompts x R slots, and their keys and values in the order prompt, key head, slot.
    So views of one tensor of queries serve two products: all queries of a prompt with the keys of the prompt,
    which are read once per group, and the queries of each row with the keys of its own tokens. When a row
    leaves, the keys and values of its prompt stay.
    """

    def __init__(self, prefill: Prefill, group_size: int, limit: int) -> None:
        """Start rows after prompts.

        Args:
            prefill: the prompts, after their passes.
            group_size: rows per prompt, in the order of the prompts.
            limit: passes at most. Keys and values take P x (S + ``group_size`` x ``limit``) slots per layer
                at most, S the tokens of the longest prompt.
        """
        self._limit = limit
        lengths_P = prefill.lengths_P
        self._prompt_keys, self._prompt_values = {**prefill.keys}, {**prefill.values}
        steps_S = torch.arange(int(lengths_P.max()), device=lengths_P.device)
        self._padding_P_S = steps_S >= lengths_P[:, None]
        self._own: dict[int, torch.Tensor] = {}
        """By layer, keys and values of the tokens after the prompts, (2, P, key heads, R, room, width)."""
        self._tokens = 0
        self._place(torch.arange(len(lengths_P), device=lengths_P.device).repeat_interleave(group_size))

    def _place(self, owner_N: torch.Tensor) -> None:
        """Give each row the first free slot of its prompt.

        Args:
            owner_N: the prompt of each row, ascending; every prompt has one.
        """
        self._owner_N = owner_N
        counts_P = torch.bincount(owner_N)
        self._slots = int(counts_P.max())
        first_P = counts_P.cumsum(0) - counts_P
        self._slot_N = torch.arange(len(owner_N), device=owner_N.device) - first_P[owner_N]
        self._slot_N += owner_N * self._slots
        # The row in each slot; any row where the slot is empty.
        self._row_C = torch.zeros(len(counts_P) * self._slots, dtype=torch.long, device=owner_N.device)
        self._row_C[self._slot_N] = torch.arange(len(owner_N), device=owner_N.device)
        self._full = len(owner_N) == len(self._row_C)
        self._hide = self._padding_P_S[:, None] if bool(self._padding_P_S.any()) else None

    @property
    def slots(self) -> int:
        """Slots for keys and values that a layer needs at most until all rows have ended."""
        prompts, length = self._padding_P_S.shape
        return prompts * (length + self._slots * self._limit)

    def advance(self) -> None:
        """Make room for the token of the next pass."""
        self._tokens += 1

    def keep(self, rows_N: torch.Tensor) -> None:
        """Keep the rows of these indices, ascending, and drop all others and prompts without rows."""
        slots, slot_N = self._slots, self._slot_N[rows_N]
        prompts, owner_N = torch.unique_consecutive(self._owner_N[rows_N], return_inverse=True)
        if len(prompts) < len(self._padding_P_S):
            self._padding_P_S = self._padding_P_S[prompts]
            for held in (self._prompt_keys, self._prompt_values):
                for layer, tensor in held.items():
                    held[layer] = tensor.index_select(0, prompts)
        self._place(owner_N)
        before_P_R = slot_N[self._row_C].view(-1, self._slots)  # in the table as it was
        prompt_P_R, slot_P_R = before_P_R // slots, before_P_R % slots
        for layer, tensor in self._own.items():
            heads_H_1 = torch.arange(tensor.shape[2], device=rows_N.device)[:, None]
            self._own[layer] = tensor[:, prompt_P_R[:, None], heads_H_1, slot_P_R[:, None]]

    def attend(self, heads: Heads) -> torch.Tensor:
        """Append a token to each row, and attend to its prompt and all its tokens; see ``Layout``. S is 1.

        Shapes: H key heads, Q queries of a key head, D width, S tokens of the longest prompt, T after it.
        """
        keys_PHR_T_D, values_PHR_T_D = self._append(heads)
        keys_PH_S_D, values_PH_S_D = (
            held[heads.layer].flatten(0, 1) for held in (self._prompt_keys, self._prompt_values)
        )
        length = keys_PH_S_D.shape[1]
        query = self._slotted(heads.query, key_heads=heads.key.shape[1])
        # Scaled and put in order by one operation.
        query_P_H_R_Q_D = torch.mul(query, heads.scale, out=query.new_empty(query.shape))
        query_PHR_Q_D = query_P_H_R_Q_D.flatten(0, 2)
        query_PH_RQ_D = query_P_H_R_Q_D.flatten(2, 3).flatten(0, 1)
        scores_PH_RQ_S = torch.bmm(query_PH_RQ_D, keys_PH_S_D.transpose(1, 2))
        if self._hide is not None:
            scores_PH_RQ_S.view(len(query), -1, length).masked_fill_(self._hide, -torch.inf)
        scores_PHR_Q_S = scores_PH_RQ_S.view(*query_PHR_Q_D.shape[:2], length)
        scores_PHR_Q_T = torch.bmm(query_PHR_Q_D, keys_PHR_T_D.transpose(1, 2))
        weights = torch.cat([scores_PHR_Q_S, scores_PHR_Q_T], -1).softmax(-1, torch.float32).to(query.dtype)
        weights_PH_RQ_S = weights.view(*query_PH_RQ_D.shape[:2], -1)[..., :length]
        seen_PHR_Q_D = torch.bmm(weights_PH_RQ_S, values_PH_S_D).view(query_PHR_Q_D.shape)
        seen_PHR_Q_D = torch.baddbmm(seen_PHR_Q_D, weights[..., length:], values_PHR_T_D)
        by_slot = seen_PHR_Q_D.view(query.shape).transpose(1, 2)
        rows = by_slot.reshape(-1, 1, heads.query.shape[1], heads.query.shape[3])
        return rows if self._full else rows.index_select(0, self._slot_N)

    def _slotted(self, heads_N_H_1_D: torch.Tensor, key_heads: int) -> torch.Tensor:
        """Put rows into their slots, (P, key heads, R, heads of a key head, width)."""
        rows = heads_N_H_1_D if self._full else heads_N_H_1_D.index_select(0, self._row_C)
        of_key_head = rows.shape[1] // key_heads
        return rows.reshape(-1, self._slots, key_heads, of_key_head, rows.shape[3]).transpose(1, 2)

    def _append(self, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a token's key and value to those of its row; return all keys and all values.

        Both are (P x key heads x R, tokens, width).
        """
        new = [self._slotted(tensor, tensor.shape[1]) for tensor in (heads.key, heads.value)]
        held = self._own.get(heads.layer)
        if held is None or held.shape[4] < self._tokens:
            growth = min(GROWTH, self._limit - self._tokens + 1)
            room = heads.key.new_empty(2, *new[0].shape[:3], growth, new[0].shape[4])
            held = self._own[heads.layer] = room if held is None else torch.cat([held, room], dim=4)
        for table, tensor in zip(held, new, strict=True):
            table[..., self._tokens - 1 : self._tokens, :] = tensor
        keys, values = held[..., : self._tokens, :].flatten(1, 3)
        return keys, values


class Together:
    """One pass for several ``Decoding``s: rows of each after those of the one before."""

    def __init__(self, parts: Sequence[Decoding], sizes: Sequence[int]) -> None:
        """Join them.

        Args:
            parts: at least one.
            sizes: rows of each.
        """
        self._parts, self._sizes = parts, list(sizes)

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend in each; see ``Layout``. S is 1."""
        if len(self._parts) == 1:
            return self._parts[0].attend(heads)
        tensors = (torch.split(tensor, self._sizes) for tensor in (heads.query, heads.key, heads.value))
        seen = [
            part.attend(heads._replace(query=query, key=key, value=value))
            for part, query, key, value in zip(self._parts, *tensors, strict=True)
        ]
        return torch.cat(seen)
