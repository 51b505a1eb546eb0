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

    The queries of a prompt's rows are folded into one product with its keys, so the prompt is read once a
    group, and a row that leaves takes only its own tokens along.
    """

    def __init__(self, prefill: Prefill, group_size: int) -> None:
        """Put ``group_size`` rows behind each prompt, in the order of the prompts."""
        lengths_P = prefill.lengths_P
        self._prompt_keys, self._prompt_values = {**prefill.keys}, {**prefill.values}
        steps_S = torch.arange(int(lengths_P.max()), device=lengths_P.device)
        self._padding_P_S: torch.Tensor = steps_S >= lengths_P[:, None]
        self._owner_N = torch.arange(len(lengths_P), device=lengths_P.device).repeat_interleave(group_size)
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._tokens = 0
        self._place_rows()

    def advance(self) -> None:
        """Make room for the token of the next pass."""
        self._tokens += 1

    def keep(self, rows_N: torch.Tensor) -> None:
        """Drop all rows but some, given by their places, ascending; prompts without rows go with them."""
        kept, owner_N = self._owner_N[rows_N].unique_consecutive(return_inverse=True)
        if len(kept) < len(self._padding_P_S):
            self._padding_P_S = self._padding_P_S[kept]
            for held in (self._prompt_keys, self._prompt_values):
                for layer, tensor in held.items():
                    held[layer] = tensor.index_select(0, kept)
        for held in (self._keys, self._values):
            for layer, tensor in held.items():
                held[layer] = tensor.index_select(0, rows_N)
        self._owner_N = owner_N
        self._place_rows()

    def _place_rows(self) -> None:
        """Number the rows of each prompt: the slots of the folded queries."""
        counts_P = torch.bincount(self._owner_N, minlength=len(self._padding_P_S))
        first_P = counts_P.cumsum(0) - counts_P
        steps_N = torch.arange(len(self._owner_N), device=self._owner_N.device)
        self._slots = int(counts_P.max())
        full = len(self._owner_N) == self._slots * len(counts_P)
        slot_N = self._owner_N * self._slots + steps_N - first_P[self._owner_N]
        self._slot_N: torch.Tensor | None = None if full else slot_N
        self._hide: torch.Tensor | None = None
        if bool(self._padding_P_S.any()):
            self._hide = self._padding_P_S[:, None, None, :]

    def attend(self, heads: Heads) -> torch.Tensor:
        """Attend to the prompt and the row's tokens, which the given one joins; see ``Layout``. S is 1."""
        keys, values = self._append(heads)
        prompt_keys, prompt_values = self._prompt_keys[heads.layer], self._prompt_values[heads.layer]
        rows, key_heads, _, width = heads.key.shape
        query_N_H_Q_D = heads.query.reshape(rows, key_heads, -1, width) * heads.scale
        of_prompt = self._fold(query_N_H_Q_D) @ prompt_keys.transpose(-1, -2)
        if self._hide is not None:
            of_prompt = of_prompt.masked_fill(self._hide, -torch.inf)
        of_prompt = self._unfold(of_prompt, query_N_H_Q_D.shape[2])
        of_own = query_N_H_Q_D @ keys.transpose(-1, -2)
        weights = torch.cat([of_prompt, of_own], dim=-1).float().softmax(-1).to(values.dtype)
        prompt = of_prompt.shape[-1]
        seen = self._unfold(self._fold(weights[..., :prompt]) @ prompt_values, query_N_H_Q_D.shape[2])
        seen = seen + weights[..., prompt:] @ values
        return seen.reshape(rows, 1, -1, seen.shape[-1])

    def _append(self, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
        """Put a token's key and value behind those of its row; return all of them."""
        seen = []
        for held, new in ((self._keys, heads.key), (self._values, heads.value)):
            tensor = held.get(heads.layer, new[:, :, :0])
            if tensor.shape[2] < self._tokens:
                room = tensor.new_empty(*new.shape[:2], GROWTH, new.shape[3])
                tensor = held[heads.layer] = torch.cat([tensor, room], dim=2)
            tensor[:, :, self._tokens - 1] = new[:, :, 0]
            seen.append(tensor[:, :, : self._tokens])
        return seen[0], seen[1]

    def _fold(self, rows_N_H_Q_X: torch.Tensor) -> torch.Tensor:
        """Put the rows of a prompt beside each other, (P, H, slots * Q, X)."""
        if self._slot_N is not None:
            empty = rows_N_H_Q_X.new_zeros(len(self._padding_P_S) * self._slots, *rows_N_H_Q_X.shape[1:])
            rows_N_H_Q_X = empty.index_copy(0, self._slot_N, rows_N_H_Q_X)
        return rows_N_H_Q_X.unflatten(0, (-1, self._slots)).transpose(1, 2).flatten(2, 3)

    def _unfold(self, folded_P_H_R_X: torch.Tensor, queries: int) -> torch.Tensor:
        """Undo ``_fold``: (N, H, Q, X)."""
        rows = folded_P_H_R_X.unflatten(2, (self._slots, queries)).transpose(1, 2).flatten(0, 1)
        return rows if self._slot_N is None else rows.index_select(0, self._slot_N)
