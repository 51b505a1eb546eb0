"""The family of KL estimators, and the two places where an estimate can enter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch

from observer.refusal import refuse_fields, refuse_unknown

Place = Literal["loss", "reward"]


class KL(ABC):
    """An estimate of KL(policy || reference) by token, its coefficient and where it enters."""

    coefficient: float
    apply_to: Place

    @abstractmethod
    def __call__(self, logprobs_N_T: torch.Tensor, reference_N_T: torch.Tensor) -> torch.Tensor:
        """Return the estimate of each token, (N, T), without the coefficient.

        Args:
            logprobs_N_T: log-probs of the policy; with gradients when it enters the loss.
            reference_N_T: log-probs of the reference.
        """


def check_kl(kl: KL) -> None:
    """Refuse a KL term that does nothing: without one, no reference is loaded.

    Raises:
        RefusedError: the coefficient is not a positive number, or the place is unknown.
    """
    refuse_fields(kl, "coefficient", above=0, hint=" (kl: null switches the KL term off)")
    refuse_unknown(kl, "apply_to", Place)


def reward_to_go(rewards_N_T: torch.Tensor) -> torch.Tensor:
    """Return the undiscounted sum of this and all later tokens' rewards, (N, T).

    Args:
        rewards_N_T: reward of each token, 0 where there is none.

    >>> reward_to_go(torch.tensor([[1.0, 2.0, 4.0, 0.0]])).tolist()
    [[7.0, 6.0, 4.0, 0.0]]
    """
    return rewards_N_T.flip(-1).cumsum(-1).flip(-1)
