"""The estimator that is never negative and of low variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.kl.base import KL, Place, check_kl


@dataclass(frozen=True)
class K3(KL):
    """k3 = ref / pi - 1 - log(ref / pi): unbiased, never negative, of low variance; GRPO's term of the loss.

    Args:
        coefficient: factor of the estimate, > 0.
        apply_to: ``loss`` or ``reward`` (to-go, joins the advantage, no gradient).

    Reference:
        J. Schulman, "Approximating KL divergence", 2020; GRPO, arXiv 2402.03300.

    With log(ref / pi) = -.5: exp(-.5) - 1 + .5 = .1065.

    >>> K3()(torch.tensor([[-1.0]]), torch.tensor([[-1.5]])).round(decimals=4).tolist()
    [[0.10649999976158142]]
    """

    coefficient: float = 0.01
    apply_to: Place = "loss"

    def __post_init__(self) -> None:
        check_kl(self)

    def __call__(self, logprobs_N_T: torch.Tensor, reference_N_T: torch.Tensor) -> torch.Tensor:
        """Return exp(d) - 1 - d, d = log ref - log pi; see ``KL``."""
        log_ratio_N_T = reference_N_T - logprobs_N_T
        return log_ratio_N_T.expm1() - log_ratio_N_T
