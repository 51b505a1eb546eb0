"""Samples with the policy's own module: one prefill per prompt, then its group token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from observer.policy.packing import cut_by_length
from observer.refusal import refuse_outside
from observer.rollout.cast_once import cast_once
from observer.rollout.engine import Engine
from observer.types import Group, Prompt, Sampling

if TYPE_CHECKING:
    from observer.policy import Policy
    from observer.rollout.decoder import Decoder

FREE_SHARE = 4
"""Groups begin while others run once one in this many slots is free: so that there are few cohorts."""


class TransformersEngine(Engine):
    """Samples from the policy's own module: no second copy of the weights, a sync is a version bump."""

    weights = "shared"
    if_it_fails = "lower TransformersEngine.tokens_at_once if memory ran out"

    def __init__(self, tokens_at_once: int = 262_144) -> None:
        """Set how much is sampled at once.

        Args:
            tokens_at_once: slots for keys and values at most, in each layer: prompts, each as long as the
                longest that began with it, and completions at ``max_tokens``; at least 1. Memory grows with
                it: a slot of all layers takes 36 KiB in a Qwen2.5-VL-3B in bfloat16. Prompts of like length
                begin together, and others as soon as completions have ended and left room. A group is never
                split: one that alone needs more is drawn alone.

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
        groups: dict[int, Group] = {}
        model.eval()
        try:
            with cast_once(model.model.language_model, model.lm_head):
                for drawn in self._drawn([prompts[place] for place in order], order, sampling):
                    groups.update(drawn)
        finally:
            model.train(training)
        return [groups[place] for place in range(len(prompts))]

    def _drawn(
        self, prompts: Sequence[Prompt], places: Sequence[int], sampling: Sampling
    ) -> Iterator[dict[int, Group]]:
        """Yield the groups of prompts in ascending length by their places, as they end."""
        from observer.rollout.decoder import Decoder  # imports models, which a list of engines does not need

        if not prompts:
            return
        lengths = [len(prompt.ids) for prompt in prompts]
        completions = sampling.group_size * sampling.max_tokens
        decoder, begun = Decoder(self._policy, sampling, lengths[-1]), 0
        while begun < len(prompts) or decoder.running:
            if joining := self._joining(decoder, lengths[begun:], completions):
                batch = slice(begun, begun + joining)
                decoder.join(prompts[batch], places[batch])
                begun += joining
            yield decoder.step()

    def _joining(self, decoder: Decoder, lengths: Sequence[int], completions: int) -> int:
        """Return how many of the prompts that wait begin now: as many as there is room for.

        Args:
            decoder: what is sampled already.
            lengths: of the prompts that wait, ascending.
            completions: slots that a group needs beside its prompt.
        """
        room = self.tokens_at_once - decoder.slots
        if not lengths or (decoder.running and room * FREE_SHARE < self.tokens_at_once):
            return 0
        batch = next(cut_by_length(lengths, completions, room))
        fits = batch.stop * (lengths[batch.stop - 1] + completions) <= room
        return batch.stop if fits or not decoder.running else 0
