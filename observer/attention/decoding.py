"""Sampling behind prompts whose keys and values are held once a group. No gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from observer.attention.layout import GroupLayout, Heads

GROWTH = 64
"""Tokens by which the room for completions grows."""


class Prefill:
    """Prompts in one packed sequence, whose keys and values are kept."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        """Lay out prompts.

        Args:
            lengths: tokens of each prompt, ascending.
            device: where the model is.
        """
        self._layout = GroupLayout.of(lengths, [], [], device)
        self.lengths_P = torch.tensor(lengths, device=device)
        self.keys: dict[int, torch.Tensor] = {}
        """By layer, (P, key heads, S, head dim), padded on the right with 0."""
        self.values: dict[int, torch.Tensor] = {}

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend, and keep keys and values; see ``Layout``. B is 1."""
        self.keys[heads.layer], self.values[heads.layer] = self._table(heads.key), self._table(heads.value)
        return self._layout.attend(heads)

    def _table(self, packed_1_H_S_D: torch.Tensor) -> torch.Tensor:
        rows = packed_1_H_S_D[0].transpose(0, 1).split(self.lengths_P.tolist())
        padded_P_S_H_D = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded_P_S_H_D.transpose(1, 2).contiguous()


class Decoding:
    """Rows that are sampled behind prompts, one token each a pass; rows may leave.

    Rows lie in a table of P prompts x R slots, one after another. All queries of a prompt meet its keys in
    one product, so a prompt is read once a group, and a row that leaves takes only its own tokens along.
    """

    def __init__(self, prefill: Prefill, group_size: int) -> None:
        """Put ``group_size`` rows behind each prompt, in the order of the prompts."""
        lengths_P = prefill.lengths_P
        self._prompt_keys, self._prompt_values = {**prefill.keys}, {**prefill.values}
        steps_S = torch.arange(int(lengths_P.max()), device=lengths_P.device)
        self._padding_P_S = steps_S >= lengths_P[:, None]
        self._own: dict[int, torch.Tensor] = {}
        """By layer, keys and values of the tokens behind the prompts, (2, P x R, key heads, room, width)."""
        self._tokens = 0
        self._place(torch.arange(len(lengths_P), device=lengths_P.device).repeat_interleave(group_size))

    def _place(self, owner_N: torch.Tensor) -> None:
        """Give each row a slot, the first free one of its prompt's.

        Args:
            owner_N: the prompt of each row, ascending; every prompt has one.
        """
        self._owner_N = owner_N
        counts_P = torch.bincount(owner_N)
        self._slots = int(counts_P.max())
        first_P = counts_P.cumsum(0) - counts_P
        self._slot_N = torch.arange(len(owner_N), device=owner_N.device) - first_P[owner_N]
        self._slot_N += owner_N * self._slots
        # Which row is in each slot; any row where none is.
        self._row_C = torch.zeros(len(counts_P) * self._slots, dtype=torch.long, device=owner_N.device)
        self._row_C[self._slot_N] = torch.arange(len(owner_N), device=owner_N.device)
        self._full = len(owner_N) == len(self._row_C)
        self._hide = self._padding_P_S[:, None, None] if bool(self._padding_P_S.any()) else None

    def advance(self) -> None:
        """Make room for the token of the next pass."""
        self._tokens += 1

    def keep(self, rows_N: torch.Tensor) -> None:
        """Drop all rows but some, given by their places, ascending; prompts without rows go with them."""
        slots_N = self._slot_N[rows_N]
        prompts, owner_N = self._owner_N[rows_N].unique_consecutive(return_inverse=True)
        if len(prompts) < len(self._padding_P_S):
            self._padding_P_S = self._padding_P_S[prompts]
            for held in (self._prompt_keys, self._prompt_values):
                for layer, tensor in held.items():
                    held[layer] = tensor.index_select(0, prompts)
        self._place(owner_N)
        slots_C = slots_N[self._row_C]
        for layer, tensor in self._own.items():
            self._own[layer] = tensor.index_select(1, slots_C)

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend to the prompt and the row's tokens, which the given one joins; see ``Layout``. S is 1."""
        keys, values = self._append(heads)
        prompt_keys, prompt_values = self._prompt_keys[heads.layer], self._prompt_values[heads.layer]
        query = self._slotted(heads.query * heads.scale).unflatten(1, (keys.shape[1], -1)).squeeze(3)
        by_row = (len(self._padding_P_S), self._slots)
        of_prompt = self._by_prompt(query.unflatten(0, by_row)) @ prompt_keys.transpose(-1, -2)
        if self._hide is not None:
            of_prompt = of_prompt.masked_fill_(self._hide, -torch.inf)
        of_own = query @ keys.transpose(-1, -2)
        scores = torch.cat([self._by_slot(of_prompt), of_own.unflatten(0, by_row)], dim=-1)
        weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
        length = prompt_keys.shape[2]
        seen = (weights[..., length:].flatten(0, 1) @ values).unflatten(0, by_row)
        seen = seen + self._by_slot(self._by_prompt(weights[..., :length]) @ prompt_values)
        rows = seen.flatten(0, 1).flatten(1, 2)[:, None]
        return rows if self._full else rows.index_select(0, self._slot_N)

    def _slotted(self, heads_N_H_1_D: torch.Tensor) -> torch.Tensor:
        """Put rows into their slots, (P x R, H, 1, head dim)."""
        return heads_N_H_1_D if self._full else heads_N_H_1_D.index_select(0, self._row_C)

    def _by_prompt(self, table: torch.Tensor) -> torch.Tensor:
        """Put all queries of a prompt beside each other: (P, R, H, h, X) -> (P, H, R x h, X)."""
        return table.transpose(1, 2).flatten(2, 3)

    def _by_slot(self, table: torch.Tensor) -> torch.Tensor:
        """Undo ``_by_prompt``."""
        return table.unflatten(2, (self._slots, -1)).transpose(1, 2)

    def _append(self, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
        """Put a token's key and value behind those of its row; return all keys and all values."""
        new = torch.stack([self._slotted(heads.key), self._slotted(heads.value)])
        held = self._own.get(heads.layer)
        if held is None or held.shape[3] < self._tokens:
            room = new.new_empty(*new.shape[:3], GROWTH, new.shape[4])
            held = self._own[heads.layer] = room if held is None else torch.cat([held, room], dim=3)
        held[:, :, :, self._tokens - 1 : self._tokens] = new
        keys, values = held[:, :, :, : self._tokens]
        return keys, values
