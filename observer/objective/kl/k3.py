"""The estimator that is never negative and of low variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.kl.base import KL, Place, check_kl
from observer.objective.losses.base import LARGEST_LOG_RATIO

LARGEST = 10.0
"""Bound of the estimate; that of d, which keeps exp(d) finite, is the losses' own."""


@dataclass(frozen=True)
class K3(KL):
    """k3 = ref / pi - 1 - log(ref / pi): unbiased, never negative, of low variance; GRPO's term of the loss.

    As in verl, a value is cut to at most 10 and has no gradient beyond, which is where the reference gives a
    token 14 times the policy's probability or more: one such token could outweigh a whole update, and at a
    log-ratio of 89 the value would be infinite. TRL does not cut it.

    Args:
        coefficient: factor of the estimate, > 0.
        apply_to: ``loss`` or ``reward`` (to-go, joins the advantage, no gradient).

    Reference:
        J. Schulman, "Approximating KL divergence", 2020; GRPO, arXiv 2402.03300.

    With log(ref / pi) = -.5: exp(-.5) - 1 + .5 = .1065.

    >>> K3()(torch.tensor([[-1.0]]), torch.tensor([[-1.5]])).round(decimals=4).tolist()
    [[0.10649999976158142]]
    >>> K3()(torch.tensor([[-95.0]]), torch.tensor([[-5.0]])).tolist()
    [[10.0]]
    """

    coefficient: float = 0.01
    apply_to: Place = "loss"

    def __post_init__(self) -> None:
        check_kl(self)

    def __call__(self, logprobs_N_T: torch.Tensor, reference_N_T: torch.Tensor) -> torch.Tensor:
        """Return exp(d) - 1 - d, d = log ref - log pi, at most 10; see ``KL``."""
        most = LARGEST_LOG_RATIO["token"]
        log_ratio_N_T = (reference_N_T - logprobs_N_T).clamp(-most, most)
        return (log_ratio_N_T.expm1() - log_ratio_N_T).clamp(max=LARGEST)
