"""Policy losses by token. They do not reduce: the denominator is named where the update is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from observer.types import RefusedError


class Loss(ABC):
    """A policy loss by token."""

    @abstractmethod
    def __call__(
        self, logprobs_N_T: torch.Tensor, old_N_T: torch.Tensor, advantages_N_T: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of each token, (N, T), and where clipping took its gradient, (N, T) bool.

        Args:
            logprobs_N_T: log-probs of the policy, with gradients.
            old_N_T: log-probs of the policy that the rollout was drawn from.
            advantages_N_T: advantage of each token; may be broadcast from (N, 1).
        """


@dataclass(frozen=True)
class PPOClip(Loss):
    """-min(r A, clip(r, 1 - low, 1 + high) A), r = exp(logprob - old): the clipped surrogate by token.

    GRPO has equal bounds; DAPO raises the upper one.

    Args:
        clip_low: how far the ratio may fall below 1, in (0, 1].
        clip_high: how far the ratio may rise above 1, > 0.

    Reference:
        PPO, arXiv 1707.06347; separate bounds: DAPO, arXiv 2503.14476.

    A ratio of 1.5 with advantage 1 is cut to 1.2 and has no gradient; with advantage -1 it is kept.

    >>> old = torch.zeros(2, 1)
    >>> loss, clipped = PPOClip()(old + torch.tensor(1.5).log(), old, torch.tensor([[1.0], [-1.0]]))
    >>> loss.round(decimals=4).flatten().tolist(), clipped.flatten().tolist()
    ([-1.2000000476837158, 1.5], [True, False])
    """

    clip_low: float = 0.2
    clip_high: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.clip_low <= 1:
            raise RefusedError(f"PPOClip.clip_low is {self.clip_low}; it must be in (0, 1]")
        if not self.clip_high > 0:
            raise RefusedError(f"PPOClip.clip_high is {self.clip_high}; it must be > 0")

    def __call__(
        self, logprobs_N_T: torch.Tensor, old_N_T: torch.Tensor, advantages_N_T: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the clipped surrogate by token; see ``Loss``."""
        ratio_N_T = (logprobs_N_T - old_N_T).exp()
        plain_N_T = ratio_N_T * advantages_N_T
        bounded_N_T = ratio_N_T.clamp(1 - self.clip_low, 1 + self.clip_high) * advantages_N_T
        return -torch.minimum(plain_N_T, bounded_N_T), bounded_N_T < plain_N_T
