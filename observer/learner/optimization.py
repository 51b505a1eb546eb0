"""Optimizer, learning rate over the run, gradient clipping and micro-batch size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from observer.objective import LearningRate
from observer.refusal import refuse_outside


def default_optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with the learning rate of the Observe-R1 release, 1e-6, and no weight decay."""
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)


@dataclass(frozen=True)
class Optimization:
    """Options of an optimizer step, the same for every learner; see the learners for each.

    Raises:
        RefusedError: a value is out of its range.
    """

    optimizer: OptimizerCallable
    learning_rate: LearningRate
    gradient_clip: float | None
    micro_batch_tokens: int
    micro_batch: int | None
    updates_per_rollout: int = 1

    def __post_init__(self) -> None:
        refuse_outside("model.gradient_clip", self.gradient_clip, above=0, finite=False, hint=", or null")
        refuse_outside("model.micro_batch_tokens", self.micro_batch_tokens, 1)
        refuse_outside("model.micro_batch", self.micro_batch, 1, hint=", or null")
        refuse_outside("model.updates_per_rollout", self.updates_per_rollout, 1)

    def configured(self, parameters: Iterable[torch.nn.Parameter], steps: int) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and its learning-rate schedule, as Lightning takes them.

        Args:
            parameters: those that are trained.
            steps: optimizer steps of the run.
        """
        optimizer = self.optimizer(parameters)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.learning_rate.factor(step, steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def described(self) -> str:
        """Return the optimizer with its options, the same in every process."""
        optimizer = self.optimizer([torch.nn.Parameter(torch.zeros(1))])
        return f"{type(optimizer).__name__} {optimizer.defaults}"
