"""The reference: the policy as it was before training, for KL terms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch

from observer.policy.policy import LogProbs, Policy
from observer.policy.vision import PictureFeatures
from observer.types import Group


class Reference:
    """The policy as it was before training. A plain object: checkpoints, optimizer and DDP do not see it."""

    def __init__(self, policy: Policy, anew: Callable[[], Policy] | None = None) -> None:
        """Copy the policy as it is now; with LoRA, use the policy itself with its adapters switched off.

        Args:
            policy: before training.
            anew: loads or draws it once more, where it is cut over ranks: then it cannot be copied.
        """
        self._policy = policy
        self._copy: Policy | None = None
        if policy.spec.lora is not None:
            return
        if policy.sharding is not None:
            assert anew is not None
            self._copy = anew().requires_grad_(False).eval()
        else:
            self._copy = copy.deepcopy(policy).requires_grad_(False).eval()
            if policy.features.frozen:
                self._copy.model.model.visual = policy.model.model.visual
                self._copy.features = policy.features
            else:
                self._copy.features = PictureFeatures(self._copy.model)

    def to(self, device: torch.device) -> None:
        """Move the copy, if there is one, to a device."""
        if self._copy is not None:
            self._copy.to(device)

    @torch.no_grad()
    def logprobs(self, groups: Sequence[Group]) -> LogProbs:
        """As ``Policy.logprobs``, without gradients."""
        if self._copy is not None:
            return self._copy.logprobs(groups, with_entropy=False)
        with self._policy.without_adapters():
            return self._policy.logprobs(groups, with_entropy=False)
