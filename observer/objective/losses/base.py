"""The family of policy losses by token, and the ratio that all of them start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch

Level = Literal["token", "sequence"]
LARGEST_LOG_RATIO: dict[Level, float] = {"token": 20.0, "sequence": 10.0}
"""Log-ratios are cut to this before ``exp``, as in verl: beyond 88 it is infinite in float32."""


class Loss(ABC):
    """A policy loss by token. It does not reduce: the denominator is named where the update is made."""

    @abstractmethod
    def __call__(
        self,
        logprobs_N_T: torch.Tensor,
        old_N_T: torch.Tensor,
        advantages_N_T: torch.Tensor,
        mask_N_T: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of each token, (N, T), and where clipping changed its gradient, (N, T) bool.

        Where the mask is False what is returned is finite and has no meaning. The bounds of ``ratio`` itself
        do not count as clipping.

        Args:
            logprobs_N_T: log-probs of the policy, with gradients; 0 where there is no token.
            old_N_T: log-probs of the policy that the rollout was drawn from; 0 where there is no token.
            advantages_N_T: advantage of each token; may be broadcast from (N, 1).
            mask_N_T: bool, where there is a token.
        """


def ratio(
    logprobs_N_T: torch.Tensor, old_N_T: torch.Tensor, mask_N_T: torch.Tensor, level: Level
) -> torch.Tensor:
    """Return how much likelier a token, or its whole sequence, became: (N, T), with gradients.

    Its log is cut to at most 20 (``token``, and at least -20) or 10 (``sequence``), and has no gradient
    beyond: at 88 the ratio would be infinite, and NaN times an advantage of 0. verl has the same bounds.

    Args:
        logprobs_N_T: log-probs of the policy, with gradients.
        old_N_T: log-probs of the policy that the rollout was drawn from.
        mask_N_T: bool, where there is a token.
        level: ``token``: exp(logprob - old). ``sequence``: for every token the geometric mean of these over
            its sequence as the value, and the token's own log-prob as what the gradient flows through.

    Two tokens, the first twice and the second eight times as likely: 4 for the sequence.

    >>> old, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> now = torch.tensor([[2.0, 8.0]]).log()
    >>> [ratio(now, old, mask, level).round(decimals=3).tolist() for level in ("token", "sequence")]
    [[[2.0, 8.0]], [[4.0, 4.0]]]
    """
    log_ratio_N_T, most = logprobs_N_T - old_N_T, LARGEST_LOG_RATIO[level]
    if level == "token":
        return log_ratio_N_T.clamp(-most, most).exp()
    lengths_N_1 = mask_N_T.sum(-1, keepdim=True).clamp(min=1)
    mean_N_1 = (log_ratio_N_T.detach() * mask_N_T).sum(-1, keepdim=True) / lengths_N_1
    return (mean_N_1 + logprobs_N_T - logprobs_N_T.detach()).clamp(max=most).exp()
