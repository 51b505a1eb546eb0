"""A soft gate in the place of clipping."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.losses.base import Loss, ratio
from observer.refusal import refuse_fields


@dataclass(frozen=True)
class SAPO(Loss):
    """-(4 / tau) sigmoid(tau (r - 1)) A, r = exp(logprob - old): a gate that closes softly away from 1.

    The gradient of the gate is sech^2(tau (r - 1) / 2): 1 at a ratio of 1, and smoothly less on both sides,
    where the clipped surrogate falls to 0 at a bound. Tokens of negative advantage have a tau of their own, a
    little larger, for they spread their push over many other tokens. On the first update after a rollout the
    gradient is that of REINFORCE, and the value of the loss -2 A / tau.

    Args:
        tau_positive: how fast the gate closes where the advantage is positive, > 0.
        tau_negative: the same where it is not, > 0.

    Reference:
        SAPO, arXiv 2511.20347, as two public trainers write it; the paper was not read. They average over the
        tokens of a sequence and then over sequences: ``model.denominator: sequences``.

    At a ratio of 1 the value is -2 A / tau and the gradient -A.

    >>> now, mask = torch.zeros(2, 1, requires_grad=True), torch.ones(2, 1, dtype=torch.bool)
    >>> loss, _ = SAPO()(now, torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]]), mask)
    >>> loss.sum().backward()
    >>> loss.detach().round(decimals=3).flatten().tolist(), now.grad.round(decimals=3).flatten().tolist()
    ([-2.0, 1.9049999713897705], [-1.0, 1.0])
    """

    tau_positive: float = 1.0
    tau_negative: float = 1.05

    def __post_init__(self) -> None:
        refuse_fields(self, "tau_positive", "tau_negative", above=0)

    def __call__(
        self,
        logprobs_N_T: torch.Tensor,
        old_N_T: torch.Tensor,
        advantages_N_T: torch.Tensor,
        mask_N_T: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gated advantage by token; nothing is clipped. See ``Loss``."""
        ratio_N_T = ratio(logprobs_N_T, old_N_T, mask_N_T, "token")
        positive_N_T = (advantages_N_T > 0).to(ratio_N_T.dtype)
        tau_N_T = self.tau_negative + (self.tau_positive - self.tau_negative) * positive_N_T
        gate_N_T = 4 / tau_N_T * torch.sigmoid(tau_N_T * (ratio_N_T - 1))
        return -gate_N_T * advantages_N_T, torch.zeros_like(mask_N_T)
