"""Groups that began together: their keys and values, positions, last hidden states and what they drew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from observer.policy.attention import Decoding, Prefill
from observer.policy.packing import cut_by_length, pack_prompts
from observer.rollout.sampling import UniformStreams
from observer.types import Completion, Group, Prompt, Sampling

DROP_SHARE = 8
"""Finished rows leave a cohort when they are more than one in this many: it copies keys and values."""

PREFILL_TOKENS = 16_384
"""Prompt tokens of a pass at most, padding counted, so that its activations and those of the vision tower are
small beside keys and values. A single prompt is never cut."""


class Cohort:
    """Groups whose completions are all of one age, so that nothing is padded and no mask is needed."""

    def __init__(
        self, policy: Any, prompts: Sequence[Prompt], places: Sequence[int], sampling: Sampling
    ) -> None:
        """Run the model once per prompt, and start its group after it.

        Args:
            policy: the ``Policy`` to sample from.
            prompts: in ascending length; rows are in their order, ``group_size`` each.
            places: of the prompts, by which ``groups`` gives their groups.
            sampling: how completions are drawn.
        """
        self._policy, self._sampling = policy, sampling
        self._prompts = dict(zip(places, prompts, strict=True))
        device, size = policy.model.device, sampling.group_size
        prefill = Prefill([len(prompt.ids) for prompt in prompts], device)
        parts = [
            self._prefilled(prefill, prompts, part)
            for part in cut_by_length(prefill.lengths, 0, PREFILL_TOKENS)
        ]
        hidden_P_D, next_P = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        # The token that is drawn last goes through no pass.
        self.decoding = Decoding(prefill, size, limit=sampling.max_tokens - 1)
        self.hidden_N_D = hidden_P_D.repeat_interleave(size, 0)
        """The state that the next token of each row is drawn from."""
        self.position_N = next_P.repeat_interleave(size)
        """Rotary positions of the tokens that are drawn next."""
        self._rows_N = torch.arange(len(prompts) * size, device=device)
        self._done_N = torch.zeros_like(self._rows_N, dtype=torch.bool)
        rows = [(prompt.problem.id, index) for prompt in prompts for index in sampling.places]
        self._streams = UniformStreams(sampling, rows)
        # Rows done, and others without finite logits; counted once per token, for a count waits for a GPU.
        self._ended = self.lost = 0
        self._ends_1_E = torch.tensor([policy.end_ids], device=device)
        self._drawn: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        """Per token: the rows that drew, by index in the whole cohort, the ids and their log-probs."""

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

    def __len__(self) -> int:
        """Rows, those included that have ended and not left yet."""
        return len(self._done_N)

    @property
    def age(self) -> int:
        """Tokens drawn by each row."""
        return len(self._drawn)

    @property
    def over(self) -> bool:
        """Whether every row has ended."""
        return self._ended == len(self) or self.age == self._sampling.max_tokens

    def uniforms(self) -> torch.Tensor | None:
        """Return the number in [0, 1) of each row for its next token; None for greedy."""
        if not self._sampling.temperature:
            return None
        return self._streams.at(self.age).to(self._rows_N.device)[self._rows_N]

    def take(self, drawn_N: torch.Tensor, logprobs_N: torch.Tensor) -> torch.Tensor:
        """Take the next token of each row; return how many have ended and how many are lost."""
        self._drawn.append((self._rows_N, drawn_N, logprobs_N))
        lost_N = logprobs_N.isnan() & ~self._done_N
        self._done_N = self._done_N | (drawn_N[:, None] == self._ends_1_E).any(-1)
        return torch.stack([self._done_N, lost_N]).sum(-1)

    def count(self, ended: int, lost: int) -> None:
        """Note what ``take`` returned, once the host knows it."""
        self._ended, self.lost = ended, lost

    def advance(self) -> torch.Tensor:
        """Drop finished rows when they are many, make room for a token, and return each row's last one."""
        last_N = self._drawn[-1][1]
        if self._ended * DROP_SHARE > len(self):
            keep_N = (~self._done_N).nonzero()[:, 0]
            self.decoding.keep(keep_N)
            last_N, self.position_N = last_N[keep_N], self.position_N[keep_N]
            self._rows_N, self._done_N = self._rows_N[keep_N], self._done_N[keep_N]
        self.decoding.advance()
        return last_N

    def groups(self) -> dict[int, Group]:
        """Return the groups by place, each completion up to its end, or to where it is if it has none yet."""
        drawn, sampling = zip(*self._drawn_rows(), strict=True), self._sampling
        return {
            place: Group(
                prompt, tuple(self._completion(*next(drawn), index) for index in sampling.places), sampling
            )
            for place, prompt in self._prompts.items()
        }

    def _drawn_rows(self) -> tuple[list[list[int]], list[list[float]]]:
        """Return the token ids and the log-probs of each row up to its end."""
        rows_K, ids_K, logprobs_K = (torch.cat(parts) for parts in zip(*self._drawn, strict=True))
        live_T = torch.tensor([len(rows_N) for rows_N, *_ in self._drawn], device=rows_K.device)
        places = rows_K, torch.arange(len(live_T), device=rows_K.device).repeat_interleave(live_T)
        shape = len(self._drawn[0][0]), len(live_T)
        ids_N_T = ids_K.new_zeros(shape).index_put(places, ids_K)
        logprobs_N_T = logprobs_K.new_zeros(shape).index_put(places, logprobs_K)
        # A finished row may stay for a while and draws on; tokens after its end do not count.
        ends_N_T = torch.isin(ids_N_T, self._ends_1_E)
        lengths_N = (ends_N_T.int().argmax(-1) + 1).where(ends_N_T.any(-1), len(live_T)).tolist()
        return tuple(  # type: ignore[return-value]
            [row[:length] for row, length in zip(table.tolist(), lengths_N, strict=True)]
            for table in (ids_N_T, logprobs_N_T)
        )

    def _completion(self, ids: list[int], logprobs: list[float], index: int) -> Completion:
        stopped = ids[-1] in self._policy.end_ids
        text = self._policy.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
        return Completion(tuple(ids), tuple(logprobs), text, "stop" if stopped else "length", index)
