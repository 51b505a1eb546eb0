"""The estimator whose gradient is that of the KL divergence."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.kl.base import KL, Place, check_kl


@dataclass(frozen=True)
class K2(KL):
    """k2 = (log pi - log ref)^2 / 2: biased, of low variance, never negative; its gradient is the right one.

    As a term of the loss its gradient, (log pi - log ref) times that of log pi, is in expectation that of
    KL(policy || reference) while the policy is the one that drew the tokens; that of k3 belongs to
    KL(reference || policy), and that of k1 is 0. In the reward K1 is the better choice: there a k2 punishes a
    token for being less likely than under the reference as much as for being likelier.

    Args:
        coefficient: factor of the estimate, > 0.
        apply_to: ``loss`` or ``reward`` (to-go, joins the advantage, no gradient).

    Reference:
        J. Schulman, "Approximating KL divergence", 2020.

    With log pi - log ref = .5: .125.

    >>> K2()(torch.tensor([[-1.0]]), torch.tensor([[-1.5]])).tolist()
    [[0.125]]
    """

    coefficient: float = 0.01
    apply_to: Place = "loss"

    def __post_init__(self) -> None:
        check_kl(self)

    def __call__(self, logprobs_N_T: torch.Tensor, reference_N_T: torch.Tensor) -> torch.Tensor:
        """Return half the squared difference; see ``KL``."""
        return 0.5 * (logprobs_N_T - reference_N_T).square()
