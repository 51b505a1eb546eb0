"""Importance correction between the sampler that drew the tokens and the trainer that learns from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from observer.objective.losses.base import LARGEST_LOG_RATIO, Level
from observer.refusal import refuse_unknown, refuse_unless

Mode = Literal["truncate", "mask"]


@dataclass(frozen=True)
class Correction:
    """w = exp(old - drawn), truncated or masked, times the policy loss: for a sampler unlike the trainer.

    An engine of its own computes log-probs that differ a little from the trainer's on the same weights
    (kernels, precision). The weight, which has no gradient, makes the update that of tokens drawn by the
    trainer. A KL term and the entropy bonus are not weighted. A token that is masked has no policy loss and
    stays in the denominator.

    Args:
        level: ``token``: the weight of each token. ``sequence``: the product over a completion's tokens, for
            all of them.
        mode: ``truncate``: a weight outside the bounds becomes the bound. ``mask``: it becomes 0.
        cap: the largest weight, > 1; infinite for exp(20), as in verl: at exp(89) a weight would be infinite.
        floor: the smallest weight, in [0, 1].

    Reference:
        Truncated importance sampling, as public trainers write it: there ``sequence`` with ``mask`` and a cap
        of 3, or ``truncate`` with a cap of 2, are the defaults.

    A token drawn with probability .2 that the trainer gives .6 weighs 3, so a cap of 2 cuts it.

    >>> old, drawn = torch.tensor([[0.6, 0.5]]).log(), torch.tensor([[0.2, 0.5]]).log()
    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> for mode in ("truncate", "mask"):
    ...     weights, cut = Correction(mode=mode)(old, drawn, mask)
    ...     print([round(weight, 3) for weight in weights[0].tolist()], cut[0].tolist())
    [2.0, 1.0] [True, False]
    [0.0, 1.0] [True, False]
    """

    level: Level = "token"
    mode: Mode = "truncate"
    cap: float = 2.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        refuse_unknown(self, "level", Level)
        refuse_unknown(self, "mode", Mode)
        refuse_unless(self.cap > 1, self, "cap", "it must be > 1, or .inf for no upper bound")
        refuse_unless(0 <= self.floor <= 1, self, "floor", "it must be in [0, 1]; 0 is no bound")

    @classmethod
    def chosen(cls, written: Correction | Literal["auto"] | None, weights: str) -> Correction | None:
        """Return the correction of a learner's updates: what was written, or what its engine needs.

        Args:
            written: ``auto``: this one where the engine has weights of its own, none where it samples from
                the policy itself, whose log-probs are the trainer's.
            weights: ``own`` or ``shared``; see ``Engine``.

        >>> Correction.chosen("auto", "own")
        Correction(level='token', mode='truncate', cap=2.0, floor=0.0)
        >>> Correction.chosen("auto", "shared"), Correction.chosen(None, "own")
        (None, None)
        """
        if written == "auto":
            return cls() if weights == "own" else None
        return written

    def __call__(
        self, old_N_T: torch.Tensor, drawn_N_T: torch.Tensor, mask_N_T: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight of each token, (N, T), without gradients, and where it was cut, (N, T) bool.

        Args:
            old_N_T: the trainer's log-probs on the weights that the rollout was drawn with.
            drawn_N_T: the sampler's log-probs of the same tokens.
            mask_N_T: bool, where there is a token.
        """
        log_weights_N_T = (old_N_T.detach() - drawn_N_T) * mask_N_T
        if self.level == "sequence":
            log_weights_N_T = log_weights_N_T.sum(-1, keepdim=True).expand_as(log_weights_N_T)
        least = math.log(self.floor) if self.floor else -math.inf
        most = min(math.log(self.cap), LARGEST_LOG_RATIO["token"])
        # Before exp, which may overflow for the product over a sequence.
        bounded_N_T = log_weights_N_T.clamp(least, most)
        weights_N_T, cut_N_T = bounded_N_T.exp(), bounded_N_T != log_weights_N_T
        return (weights_N_T.masked_fill(cut_N_T, 0.0) if self.mode == "mask" else weights_N_T), cut_N_T
