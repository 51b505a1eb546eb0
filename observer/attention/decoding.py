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

    Rows lie in a table of P prompts x R slots. All queries of a prompt meet its keys in one product, so a
    prompt is read once a group, and a row that leaves takes only its own tokens along.
    """

    def __init__(self, prefill: Prefill, group_size: int) -> None:
        """Put ``group_size`` rows behind each prompt, in the order of the prompts."""
        lengths_P = prefill.lengths_P
        self._prompt_keys, self._prompt_values = {**prefill.keys}, {**prefill.values}
        steps_S = torch.arange(int(lengths_P.max()), device=lengths_P.device)
        self._padding_P_S = steps_S >= lengths_P[:, None]
        self._own: dict[int, torch.Tensor] = {}
        """By layer, keys and values of the tokens behind the prompts, (2, P, key heads, R, room, width)."""
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
            rows = tensor.transpose(2, 3).flatten(1, 2).index_select(1, slots_C)
            self._own[layer] = rows.unflatten(1, (-1, self._slots)).transpose(2, 3).contiguous()

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend to the prompt and the row's tokens, which the given one joins; see ``Layout``. S is 1."""
        keys, values = self._append(heads)
        prompt_keys, prompt_values = self._prompt_keys[heads.layer], self._prompt_values[heads.layer]
        query = self._table(heads.query[None] * heads.scale, keys.shape[1])[0].contiguous()
        shape = query.shape
        of_prompt = query.flatten(2, 3) @ prompt_keys.transpose(-1, -2)
        if self._hide is not None:
            of_prompt = of_prompt.masked_fill_(self._hide, -torch.inf)
        of_own = query @ keys.transpose(-1, -2)
        scores = torch.cat([of_prompt.view(*shape[:4], -1), of_own], dim=-1)
        weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
        length = prompt_keys.shape[2]
        seen = (weights[..., :length].flatten(2, 3) @ prompt_values).view(shape)
        seen = seen + weights[..., length:] @ values
        rows = seen.transpose(1, 2).reshape(len(self._row_C), 1, -1, shape[-1])
        return rows if self._full else rows.index_select(0, self._slot_N)

    def _table(self, heads_K_N_H_1_D: torch.Tensor, key_heads: int) -> torch.Tensor:
        """Put rows into their slots, (K, P, key heads, R, heads a key head, head dim)."""
        rows = heads_K_N_H_1_D if self._full else heads_K_N_H_1_D.index_select(1, self._row_C)
        size, _, all_heads, _, width = rows.shape
        table = rows.reshape(size, -1, self._slots, key_heads, all_heads // key_heads, width)
        return table.transpose(2, 3)

    def _append(self, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
        """Put a token's key and value behind those of its row; return all keys and all values."""
        new = self._table(torch.stack([heads.key, heads.value]), heads.key.shape[1])
        held = self._own.get(heads.layer)
        if held is None or held.shape[4] < self._tokens:
            room = new.new_empty(*new.shape[:4], GROWTH, new.shape[5])
            held = self._own[heads.layer] = room if held is None else torch.cat([held, room], dim=4)
        held[:, :, :, :, self._tokens - 1 : self._tokens] = new
        keys, values = held[:, :, :, :, : self._tokens]
        return keys, values
