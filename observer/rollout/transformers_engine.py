"""Samples with the policy's own module: one prefill per prompt, then its group token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from observer.policy.packing import cut_by_length
from observer.refusal import refuse_outside
from observer.rollout.cast_once import cast_once
from observer.rollout.engine import Engine, NotFiniteError
from observer.rollout.sampling import UniformStreams
from observer.types import Completion, Group, Prompt, Sampling

if TYPE_CHECKING:
    from observer.policy import Policy


class TransformersEngine(Engine):
    """Samples from the policy's own module: no second copy of the weights, a sync is a version bump."""

    weights = "shared"
    if_it_fails = "lower TransformersEngine.tokens_at_once if memory ran out"

    def __init__(self, tokens_at_once: int = 262_144) -> None:
        """Set how much is sampled at once.

        Args:
            tokens_at_once: slots for keys and values of a batch at most, in each layer: its prompts, each
                as long as the longest, and its completions at ``max_tokens``; at least 1. Memory grows with
                it: a slot of all layers takes 36 KiB in a Qwen2.5-VL-3B in bfloat16. Prompts of like length
                share a batch. A group is never split: one that alone needs more is a batch of its own.

        Raises:
            RefusedError: ``tokens_at_once`` is below 1.
        """
        refuse_outside("TransformersEngine.tokens_at_once", tokens_at_once, 1)
        self.tokens_at_once = tokens_at_once
        self._policy: Policy

    def start(self, policy: Policy) -> None:
        """Take the policy; see ``Engine``."""
        self._policy = policy

    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Note the version: the weights are the policy's own; see ``Engine``."""
        self.version = version

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw groups, as many at once as ``tokens_at_once`` allows; see ``Engine``."""
        model = self._policy.model
        training = model.training
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place].ids))
        lengths = [len(prompts[place].ids) for place in order]
        groups: dict[int, Group] = {}
        model.eval()
        try:
            completions = sampling.group_size * sampling.max_tokens
            with cast_once(model.model.language_model, model.lm_head):
                for batch in cut_by_length(lengths, completions, self.tokens_at_once):
                    drawn = self._generate_batch([prompts[place] for place in order[batch]], sampling)
                    groups.update(zip(order[batch], drawn, strict=True))
        finally:
            model.train(training)
        return [groups[place] for place in range(len(prompts))]

    def _generate_batch(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw the groups of prompts in ascending length."""
        from observer.rollout.decoder import Decoder  # imports models, which a list of engines does not need

        decoder = Decoder(self._policy, prompts, sampling)
        rows = [(prompt.problem.id, index) for prompt in prompts for index in sampling.places]
        streams = UniformStreams(sampling, rows)
        with torch.inference_mode():  # cheaper than no_grad; autograd never meets these tensors
            for token in range(sampling.max_tokens):
                decoder.step(token, streams.at(token) if sampling.temperature else None)
                if decoder.finished or decoder.lost:
                    break
        drawn = zip(*decoder.drawn(), strict=True)
        groups = [
            Group(prompt, tuple(self._completion(*next(drawn), index) for index in sampling.places), sampling)
            for prompt in prompts
        ]
        if decoder.lost:
            raise NotFiniteError(groups)
        return groups

    def _completion(self, ids: list[int], logprobs: list[float], index: int) -> Completion:
        stopped = ids[-1] in self._policy.end_ids
        text = self._policy.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
        return Completion(tuple(ids), tuple(logprobs), text, "stop" if stopped else "length", index)
