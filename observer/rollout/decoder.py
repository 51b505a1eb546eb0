"""The rows of a batch while it is sampled: one prefill per prompt, then its group token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import torch

from observer.policy import Policy
from observer.policy.attention import Decoding, Prefill, TextStep
from observer.policy.logits import head_rows, next_token_logprobs
from observer.policy.packing import cut_by_length, pack_prompts
from observer.rollout.sampling import draw
from observer.types import Prompt, Sampling

DROP_SHARE = 8
"""Finished rows leave a batch when they are more than one in this many: it copies keys and values."""

PREFILL_TOKENS = 16_384
"""Prompt tokens of a pass at most, padding counted, so that its activations and those of the vision tower are
small beside keys and values. A single prompt is never cut."""


class Decoder:
    """The rows of a batch while it is sampled: their keys and values, positions and last hidden states."""

    def __init__(self, policy: Policy, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        """Run the model once per prompt, and start its group after it.

        Args:
            policy: the model to sample from.
            prompts: in ascending length; rows are in their order, ``group_size`` each.
            sampling: how completions are drawn.
        """
        self._policy, self._sampling = policy, sampling
        device, size = policy.model.device, sampling.group_size
        prefill = Prefill([len(prompt.ids) for prompt in prompts], device)
        parts = [
            self._prefilled(prefill, prompts, part)
            for part in cut_by_length(prefill.lengths, 0, PREFILL_TOKENS)
        ]
        hidden_P_D, next_P = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        # The token that is drawn last goes through no pass.
        self._decoding = Decoding(prefill, size, limit=sampling.max_tokens - 1)
        last = int(next_P.max()) + sampling.max_tokens
        self._text_step = TextStep(policy.model.model.language_model, int(next_P.min()), last)
        self._hidden_N_D = hidden_P_D.repeat_interleave(size, 0)
        self._position_N = next_P.repeat_interleave(size)
        self._rows_N = torch.arange(len(prompts) * size, device=device)
        self._done_N = torch.zeros_like(self._rows_N, dtype=torch.bool)
        # Rows done, and others without finite logits; counted once per token, for a count waits for a GPU.
        self._ended = self.lost = 0
        self._ends_1_E = torch.tensor([policy.end_ids], device=device)
        self._drawn: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        """Per token: the rows that drew, by index in the whole batch, the ids and their log-probs."""

    def _prefilled(
        self, prefill: Prefill, prompts: Sequence[Prompt], part: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the model on some prompts; return the last hidden state and the next position of each."""
        packed = pack_prompts(self._policy.model, prompts[part])
        prefill.take(part)
        output = self._policy.model.model(
            input_ids=packed.ids_S[None],
            position_ids=packed.positions_3_S[:, None],
            layout=prefill,
            **self._policy.features.model_inputs(packed.pictures),
            use_cache=False,
        )
        return output.last_hidden_state[0, prefill.lengths_P[part].cumsum(0) - 1], packed.next_P

    @property
    def finished(self) -> bool:
        """Whether every row has drawn an end token."""
        return self._ended == len(self._done_N)

    def step(self, token: int, uniforms_N: torch.Tensor | None) -> None:
        """Draw the next token of every row.

        Args:
            token: its index in the completion.
            uniforms_N: a number in [0, 1) for every row of the batch, finished ones too; None for greedy.
        """
        if self._drawn:
            self._advance(self._drawn[-1][1])
        policy, banned = self._policy, self._policy.banned_ids
        if token < self._sampling.min_tokens:
            banned = (*banned, *policy.end_ids)
        # In chunks: the logits of a large vocabulary take more memory than keys and values of short rows.
        rows = head_rows(policy.model)
        hidden = torch.split(self._hidden_N_D, rows)
        uniforms: Iterable[torch.Tensor | None] = repeat(None, len(hidden))
        if uniforms_N is not None:
            uniforms = torch.split(uniforms_N.to(self._rows_N.device)[self._rows_N], rows)
        chunks = [self._draw(*chunk, banned) for chunk in zip(hidden, uniforms, strict=True)]
        drawn_N, logprobs_N = (torch.cat(tensors) for tensors in zip(*chunks, strict=True))
        self._drawn.append((self._rows_N, drawn_N, logprobs_N))
        lost_N = logprobs_N.isnan() & ~self._done_N
        self._done_N = self._done_N | (drawn_N[:, None] == self._ends_1_E).any(-1)
        self._ended, self.lost = torch.stack([self._done_N, lost_N]).sum(-1).tolist()

    def _draw(
        self, hidden_N_D: torch.Tensor, uniforms_N: torch.Tensor | None, banned: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a token per row and its log-prob, nan where a logit is not finite."""
        policy = self._policy
        logits_N_V = policy.model.lm_head(hidden_N_D)
        logprobs_N_V = next_token_logprobs(logits_N_V, None, self._sampling, banned, policy.end_ids)
        drawn_N = logprobs_N_V.argmax(-1) if uniforms_N is None else draw(logprobs_N_V, uniforms_N)
        return drawn_N, logprobs_N_V.gather(-1, drawn_N[:, None])[:, 0]

    def drawn(self) -> tuple[list[list[int]], list[list[float]]]:
        """Return the token ids and the log-probs of each row up to its end."""
        rows_K, ids_K, logprobs_K = (torch.cat(parts) for parts in zip(*self._drawn, strict=True))
        live_T = torch.tensor([len(rows_N) for rows_N, *_ in self._drawn], device=rows_K.device)
        places = rows_K, torch.arange(len(live_T), device=rows_K.device).repeat_interleave(live_T)
        shape = len(self._drawn[0][0]), len(live_T)
        ids_N_T = ids_K.new_zeros(shape).index_put(places, ids_K)
        logprobs_N_T = logprobs_K.new_zeros(shape).index_put(places, logprobs_K)
        # A finished row may stay in the batch for a while and draws on; tokens after its end do not count.
        ends_N_T = torch.isin(ids_N_T, self._ends_1_E)
        lengths_N = (ends_N_T.int().argmax(-1) + 1).where(ends_N_T.any(-1), len(live_T)).tolist()
        return tuple(  # type: ignore[return-value]
            [row[:length] for row, length in zip(table.tolist(), lengths_N, strict=True)]
            for table in (ids_N_T, logprobs_N_T)
        )

    def _advance(self, last_N: torch.Tensor) -> None:
        """Drop finished rows when they are many, and run the model on the tokens just drawn."""
        if self._ended * DROP_SHARE > len(self._done_N):
            keep_N = (~self._done_N).nonzero()[:, 0]
            self._decoding.keep(keep_N)
            last_N, self._position_N = last_N[keep_N], self._position_N[keep_N]
            self._rows_N, self._done_N = self._rows_N[keep_N], self._done_N[keep_N]
        self._decoding.advance()
        self._hidden_N_D = self._text_step(last_N, self._position_N, self._decoding)
        self._position_N = self._position_N + 1
