"""REINFORCE with importance weights that are cut: every token keeps a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.losses.base import Loss, ratio
from observer.refusal import refuse_unless


@dataclass(frozen=True)
class CISPO(Loss):
    """-stop_gradient(clip(r, floor, cap)) A log pi, r = exp(logprob - old): cuts weights, not gradients.

    The clipped surrogate drops the gradient of tokens whose ratio leaves its bounds, often the rare ones that
    steer a solution; here such a token weighs less and still counts. ``floor`` and ``cap`` bound the ratio
    itself and are no distances from 1, which trainers define differently under the same name. The value of
    the loss has no meaning, only its gradient. On the first update after a rollout the ratio is 1: plain
    REINFORCE.

    Args:
        floor: the least weight of a token, in [0, 1); 0 for no lower bound, as in the paper (second hand).
        cap: the largest weight of a token, > 1; 5 is the advice of ScaleRL, arXiv 2510.13786 (second hand).

    Reference:
        CISPO, MiniMax-M1, arXiv 2506.13585, as public trainers write it; the paper was not read.

    A ratio of 8 weighs 5: the gradient is -5 A.

    >>> now = torch.tensor([[8.0, 0.5]]).log().requires_grad_()
    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> loss, clipped = CISPO()(now, torch.zeros(1, 2), torch.tensor([[2.0]]), mask)
    >>> loss.sum().backward()
    >>> now.grad.round(decimals=3).tolist(), clipped.tolist()
    ([[-10.0, -1.0]], [[True, False]])
    """

    floor: float = 0.0
    cap: float = 5.0

    def __post_init__(self) -> None:
        itself = "it bounds the ratio itself"
        refuse_unless(0 <= self.floor < 1, self, "floor", f"it must be in [0, 1): {itself}")
        refuse_unless(self.cap > 1, self, "cap", f"it must be > 1: {itself}")

    def __call__(
        self,
        logprobs_N_T: torch.Tensor,
        old_N_T: torch.Tensor,
        advantages_N_T: torch.Tensor,
        mask_N_T: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighted log-likelihood by token; see ``Loss``."""
        ratio_N_T = ratio(logprobs_N_T.detach(), old_N_T, mask_N_T, "token")
        weights_N_T = ratio_N_T.clamp(self.floor, self.cap)
        clipped_N_T = (weights_N_T != ratio_N_T) & (advantages_N_T != 0)
        return -weights_N_T * advantages_N_T * logprobs_N_T, clipped_N_T
