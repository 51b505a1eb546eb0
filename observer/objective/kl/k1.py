"""The unbiased estimator of high variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.kl.base import KL, Place, check_kl


@dataclass(frozen=True)
class K1(KL):
    """k1 = log pi - log ref: unbiased, of high variance, may be negative.

    In the reward it is the penalty of the Observe-R1 release: minus the coefficient times the sum over this
    and all later tokens joins each token's advantage. As a term of the loss its gradient is 0 in expectation,
    so ``reward`` is the default.

    Args:
        coefficient: factor of the estimate, > 0.
        apply_to: ``reward`` (to-go, joins the advantage, no gradient) or ``loss``.

    Reference:
        J. Schulman, "Approximating KL divergence", 2020.

    >>> K1()(torch.tensor([[-1.0]]), torch.tensor([[-1.5]])).tolist()
    [[0.5]]
    """

    coefficient: float = 0.01
    apply_to: Place = "reward"

    def __post_init__(self) -> None:
        check_kl(self)

    def __call__(self, logprobs_N_T: torch.Tensor, reference_N_T: torch.Tensor) -> torch.Tensor:
        """Return log pi - log ref; see ``KL``."""
        return logprobs_N_T - reference_N_T
