"""Samples with the policy's own module: one prefill a prompt, then its group token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from transformers import DynamicCache

from observer.rollout.batch import make_batch
from observer.rollout.engine import Engine, Served
from observer.rollout.sampling import UniformStreams, draw, next_token_logprobs
from observer.types import Completion, Group, Prompt, RefusedError, Sampling

DROP_SHARE = 8
"""Finished rows leave the batch when they are more than one in this many: it costs a copy of the cache."""


class TransformersEngine(Engine):
    """Samples from the policy's own module: no second copy of the weights, a sync is a version bump."""

    weights = "shared"

    def __init__(self, rows_at_once: int = 512) -> None:
        """Set how much is sampled at once.

        Args:
            rows_at_once: completions that share a batch, at least 1; memory grows with it (their key-value
                cache).
        """
        if rows_at_once < 1:
            raise RefusedError(f"TransformersEngine.rows_at_once is {rows_at_once}; it must be >= 1")
        self.rows_at_once = rows_at_once
        self._policy: Served

    def start(self, policy: Served) -> None:
        """Take the policy; see ``Engine``."""
        self._policy = policy

    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Note the version: the weights are the policy's own; see ``Engine``."""
        self.version = version

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw groups, as many prompts at once as ``rows_at_once`` allows; see ``Engine``."""
        at_once = max(1, self.rows_at_once // sampling.group_size)
        model = self._policy.model
        training = model.training
        model.eval()
        try:
            return [
                group
                for first in range(0, len(prompts), at_once)
                for group in self._generate_batch(prompts[first : first + at_once], sampling)
            ]
        finally:
            model.train(training)

    def _generate_batch(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        rows = [(prompt, index) for prompt in prompts for index in range(sampling.group_size)]
        streams = UniformStreams(sampling, [(prompt.problem.id, index) for prompt, index in rows])
        decoder = _Decoder(self._policy, prompts, sampling)
        ids: list[list[int]] = [[] for _ in rows]
        logprobs: list[list[float]] = [[] for _ in rows]
        for token in range(sampling.max_tokens):
            uniforms_N = streams.at(token) if sampling.temperature else None
            for row, drawn, logprob in decoder.step(token, uniforms_N):
                ids[row].append(drawn)
                logprobs[row].append(logprob)
            if decoder.finished:
                break
        completions = [
            self._completion(row_ids, row_logprobs, index)
            for row_ids, row_logprobs, (_, index) in zip(ids, logprobs, rows, strict=True)
        ]
        size = sampling.group_size
        return [
            Group(prompt, tuple(completions[place * size : (place + 1) * size]), sampling)
            for place, prompt in enumerate(prompts)
        ]

    def _completion(self, ids: list[int], logprobs: list[float], index: int) -> Completion:
        stopped = ids[-1] in self._policy.end_ids
        text = self._policy.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
        return Completion(tuple(ids), tuple(logprobs), text, "stop" if stopped else "length", index)


class _Decoder:
    """The live rows of a batch: their cache, mask, positions and next-token logits."""

    def __init__(self, policy: Served, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        """Prefill each prompt once and expand its cache to the group."""
        self._policy, self._sampling = policy, sampling
        batch = make_batch(policy.model, [(prompt, ()) for prompt in prompts], pad_side="left")
        self._cache = DynamicCache(config=policy.model.config.get_text_config())
        pictures = policy.features.model_inputs([patches for prompt in prompts for patches in prompt.pictures])
        output = policy.model.model(
            **batch.model_inputs(), **pictures, past_key_values=self._cache, use_cache=True
        )
        size = sampling.group_size
        self._cache.batch_repeat_interleave(size)
        self._hidden_N_D = output.last_hidden_state[:, -1].repeat_interleave(size, 0)
        self._mask_N_S = batch.mask_N_S.repeat_interleave(size, 0)
        self._position_N = batch.positions_3_N_S.amax((0, 2)).repeat_interleave(size) + 1
        self._rows_N = torch.arange(len(prompts) * size, device=self._mask_N_S.device)
        self._done_N = torch.zeros_like(self._rows_N, dtype=torch.bool)
        self._ends = torch.tensor(policy.end_ids, device=self._mask_N_S.device)
        self._last_N: torch.Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every row has drawn an end token."""
        return bool(self._done_N.all())

    def step(self, token: int, uniforms_N: torch.Tensor | None) -> list[tuple[int, int, float]]:
        """Draw the next token of every unfinished row.

        Args:
            token: its index in the completion.
            uniforms_N: a number in [0, 1) for every row of the batch, finished ones too; None for greedy.

        Returns:
            (row, token id, log-prob) of each row that was not finished.
        """
        if self._last_N is not None:
            self._advance(self._last_N)
        before_minimum_N = torch.ones_like(self._done_N) if token < self._sampling.min_tokens else None
        logprobs_N_V = next_token_logprobs(
            self._policy.model.lm_head(self._hidden_N_D),
            before_minimum_N,
            self._sampling,
            self._policy.banned_ids,
            self._policy.end_ids,
        )
        if uniforms_N is None:
            drawn_N = logprobs_N_V.argmax(-1)
        else:
            drawn_N = draw(logprobs_N_V, uniforms_N.to(logprobs_N_V.device)[self._rows_N])
        logprob_N = logprobs_N_V.gather(-1, drawn_N[:, None])[:, 0]
        live_N = ~self._done_N
        self._done_N = self._done_N | torch.isin(drawn_N, self._ends)
        self._last_N = drawn_N
        return list(
            zip(
                self._rows_N[live_N].tolist(),
                drawn_N[live_N].tolist(),
                logprob_N[live_N].tolist(),
                strict=True,
            )
        )

    def _advance(self, last_N: torch.Tensor) -> None:
        """Drop finished rows when they are many, and run the model on the tokens just drawn."""
        if int(self._done_N.sum()) * DROP_SHARE > len(self._done_N):
            keep_N = (~self._done_N).nonzero()[:, 0]
            self._cache.batch_select_indices(keep_N)
            last_N, self._mask_N_S, self._position_N = (
                last_N[keep_N],
                self._mask_N_S[keep_N],
                self._position_N[keep_N],
            )
            self._rows_N, self._done_N = self._rows_N[keep_N], self._done_N[keep_N]
        self._mask_N_S = torch.cat([self._mask_N_S, self._mask_N_S.new_ones(len(last_N), 1)], dim=1)
        output = self._policy.model.model(
            input_ids=last_N[:, None],
            attention_mask=self._mask_N_S,
            position_ids=self._position_N[None, :, None].expand(3, -1, -1),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._position_N = self._position_N + 1
        self._hidden_N_D = output.last_hidden_state[:, -1]
