"""The clipped surrogate of PPO and GRPO, and what its parameters make of it: DAPO, GSPO, dual clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.losses.base import Level, Loss, ratio
from observer.refusal import refuse_fields, refuse_unknown, refuse_unless


@dataclass(frozen=True)
class PPOClip(Loss):
    """-min(r A, clip(r, 1 - low, 1 + high) A): clipped surrogate; r is a token's ratio or its sequence's.

    GRPO has equal bounds. DAPO raises the upper one, .2 and .28 (second hand). GSPO takes the ratio of the
    whole sequence, the geometric mean over its tokens, with bounds near 3e-4 and 4e-4 (second hand) and
    ``model.denominator: sequences``; it is written in the form in which every token has the sequence's ratio
    as its value and a gradient of its own (GSPO-token), so that advantages may differ within a sequence. Dual
    clip bounds what a ratio far above 1 can do where the advantage is negative, which PPO leaves open.

    Args:
        clip_low: how far the ratio may fall below 1, in (0, 1].
        clip_high: how far the ratio may rise above 1, > 0.
        level: ``token`` (PPO, GRPO, DAPO) or ``sequence`` (GSPO).
        dual: the largest ratio that counts where the advantage is negative, > 1, such as 3; null for none.

    Reference:
        PPO, arXiv 1707.06347; separate bounds: DAPO, arXiv 2503.14476; ``sequence``: GSPO, arXiv 2507.18071;
        ``dual``: arXiv 1912.09729. The last two as public trainers write them; the papers were not read.

    A ratio of 1.5 with advantage 1 is cut to 1.2 and has no gradient; with advantage -1 it is kept, and a
    ratio of 4 only without a dual bound of 3.

    >>> mask = torch.ones(3, 1, dtype=torch.bool)
    >>> now, advantages = torch.tensor([[1.5], [1.5], [4.0]]).log(), torch.tensor([[1.0], [-1.0], [-1.0]])
    >>> for loss in (PPOClip(), PPOClip(dual=3.0)):
    ...     values, clipped = loss(now, torch.zeros(3, 1), advantages, mask)
    ...     print([round(value, 3) for value in values.flatten().tolist()], clipped.flatten().tolist())
    [-1.2, 1.5, 4.0] [True, False, False]
    [-1.2, 1.5, 3.0] [True, False, True]
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    level: Level = "token"
    dual: float | None = None

    def __post_init__(self) -> None:
        refuse_unless(0 < self.clip_low <= 1, self, "clip_low", "it must be in (0, 1]")
        refuse_fields(self, "clip_high", above=0)
        refuse_unknown(self, "level", Level)
        refuse_fields(self, "dual", above=1, hint=", or null for no such bound")

    def __call__(
        self,
        logprobs_N_T: torch.Tensor,
        old_N_T: torch.Tensor,
        advantages_N_T: torch.Tensor,
        mask_N_T: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the clipped surrogate by token; see ``Loss``."""
        ratio_N_T = ratio(logprobs_N_T, old_N_T, mask_N_T, self.level)
        plain_N_T = ratio_N_T * advantages_N_T
        bounded_N_T = ratio_N_T.clamp(1 - self.clip_low, 1 + self.clip_high) * advantages_N_T
        surrogate_N_T, clipped_N_T = torch.minimum(plain_N_T, bounded_N_T), bounded_N_T < plain_N_T
        if self.dual is not None:
            beyond_N_T = (advantages_N_T < 0) & (ratio_N_T > self.dual)
            surrogate_N_T = torch.where(beyond_N_T, self.dual * advantages_N_T, surrogate_N_T)
            clipped_N_T = clipped_N_T | beyond_N_T
        return -surrogate_N_T, clipped_N_T
