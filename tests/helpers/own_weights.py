"""An engine with weights of its own, and the ways in which such an engine goes wrong."""

from dataclasses import replace

import torch

from observer.policy import Policy, load_processor
from observer.rollout import Engine, TransformersEngine
from observer.types import Patches


class OwnWeights(Engine):
    """Draws with the shipped decoder from a copy of the weights. A fault is switched on by name.

    stale: parts of names of weights that a sync does not take after the first. temperature: times that of
    the sampling. raw: log-probs are those at temperature 1. banned: ids that it never draws. bright: factor
    of the pictures' pixels. dtype: of the copy.
    """

    weights = "own"

    def __init__(self, stale=None, temperature=1.0, raw=False, banned=(), bright=1.0, dtype="float32"):
        self.stale, self.temperature, self.raw = stale, temperature, raw
        self.banned, self.bright, self.dtype = tuple(banned), bright, dtype
        self.inner, self.syncs = TransformersEngine(), 0

    def start(self, policy):
        spec = replace(policy, dtype=self.dtype)
        self.policy = Policy(spec, load_processor(spec)).requires_grad_(False)
        self.policy.banned_ids = (*self.policy.banned_ids, *self.banned)
        self.inner.start(self.policy)

    def sync(self, named_tensors, version):
        own = dict(self.policy.model.named_parameters())
        with torch.no_grad():
            for name, tensor in named_tensors:
                old = self.syncs and self.stale is not None and self.stale in name
                if name in own and not old:
                    own[name].copy_(tensor)
        self.version, self.syncs = version, self.syncs + 1

    def generate(self, prompts, sampling):
        hot = replace(sampling, temperature=self.temperature * sampling.temperature)
        groups = self.inner.generate([self._seen(prompt) for prompt in prompts], hot)
        if self.raw:
            groups = [replace(group, sampling=replace(sampling, temperature=1.0)) for group in groups]
            with torch.no_grad():
                rows = iter(self.policy.logprobs(groups, with_entropy=False).values_N_T.tolist())
            groups = [
                replace(
                    group,
                    completions=tuple(
                        replace(one, logprobs=tuple(next(rows)[: len(one.ids)])) for one in group.completions
                    ),
                )
                for group in groups
            ]
        return [
            replace(group, prompt=prompt, sampling=sampling)
            for group, prompt in zip(groups, prompts, strict=True)
        ]

    def _seen(self, prompt):
        pictures = tuple(Patches(self.bright * one.pixels, one.grid) for one in prompt.pictures)
        return replace(prompt, pictures=pictures) if self.bright != 1 else prompt
