"""The loss of each token of an update: policy loss, correction, KL and entropy. It does not reduce."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.correction import Correction
from observer.objective.kl.base import KL, reward_to_go
from observer.objective.losses.base import Loss
from observer.refusal import refuse_outside


@dataclass(frozen=True, eq=False)
class Tokens:
    """The completion tokens of a micro-batch: (N, T) each, 0 where there is no token."""

    mask_N_T: torch.Tensor
    """Bool, where there is a token."""
    logprobs_N_T: torch.Tensor
    """Of the policy, with gradients."""
    old_N_T: torch.Tensor
    """Of the policy before the first update on the rollout."""
    drawn_N_T: torch.Tensor
    """Log-probs that the sampler drew them with."""
    advantages_N_T: torch.Tensor
    """May be broadcast from (N, 1)."""
    entropy_N_T: torch.Tensor
    """Of the policy; with gradients where there is an entropy bonus."""
    reference_N_T: torch.Tensor | None = None
    """Log-probs of the reference; only where there is a KL term."""


@dataclass(frozen=True)
class Objective:
    """w loss(A) + beta KL - c entropy by token: all terms that an update can have.

    A KL term in the reward is no term of its own: minus beta times its sum over this and all later tokens
    joins the advantage.

    Args:
        loss: the policy loss.
        kl: the term that holds the policy near the reference; None for none.
        correction: the factor of the policy loss where sampler and trainer differ; None for 1.
        entropy_bonus: c, >= 0.
    """

    loss: Loss
    kl: KL | None = None
    correction: Correction | None = None
    entropy_bonus: float = 0.0

    def __post_init__(self) -> None:
        refuse_outside("model.entropy_bonus", self.entropy_bonus, 0, hint=" and finite")

    @property
    def silent_without_advantages(self) -> bool:
        """Whether the loss is 0 where all advantages are 0."""
        return self.kl is None and not self.entropy_bonus

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that ``__call__`` returns; the first counts the tokens."""
        names: tuple[str, ...] = ("tokens", "loss", "entropy", "clip_share", "sampler_gap")
        if self.kl is not None:
            names += ("kl",)
        if self.correction is not None:
            names += ("correction_weight", "correction_cut")
        return names

    def __call__(self, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of each token, (N, T), and the sums of ``figures`` over tokens, float32.

        Args:
            tokens: those of a micro-batch.
        """
        old_N_T, advantages_N_T = tokens.old_N_T, tokens.advantages_N_T.expand_as(tokens.old_N_T)
        watched = {"tokens": torch.ones_like(old_N_T)}
        if self.kl is not None:
            assert tokens.reference_N_T is not None
            in_reward = self.kl.apply_to == "reward"
            kl_N_T = self.kl(old_N_T if in_reward else tokens.logprobs_N_T, tokens.reference_N_T)
            watched["kl"] = kl_N_T
            if in_reward:
                penalty_N_T = self.kl.coefficient * kl_N_T * tokens.mask_N_T
                advantages_N_T = advantages_N_T + reward_to_go(-penalty_N_T)
        loss_N_T, watched["clip_share"] = self.loss(
            tokens.logprobs_N_T, old_N_T, advantages_N_T, tokens.mask_N_T
        )
        if self.correction is not None:
            weights_N_T, cut_N_T = self.correction(old_N_T, tokens.drawn_N_T, tokens.mask_N_T)
            loss_N_T = weights_N_T * loss_N_T
            watched |= {"correction_weight": weights_N_T, "correction_cut": cut_N_T}
        if self.kl is not None and self.kl.apply_to == "loss":
            loss_N_T = loss_N_T + self.kl.coefficient * kl_N_T
        if self.entropy_bonus:
            loss_N_T = loss_N_T - self.entropy_bonus * tokens.entropy_N_T
        watched |= {"loss": loss_N_T, "entropy": tokens.entropy_N_T}
        watched["sampler_gap"] = (tokens.drawn_N_T - old_N_T).abs()
        sums = [(watched[name].detach() * tokens.mask_N_T).sum() for name in self.figures]
        return loss_N_T, torch.stack(sums)
