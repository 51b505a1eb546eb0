"""Sums, means and joins of numbers over the ranks of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy

from observer.run.other_ranks import waiting_for_ranks

SHOWN = 3
"""Figures that a message names at most."""


def share_buckets(trainer: lightning.Trainer) -> None:
    """Let gradients lie in the buckets through which DDP exchanges them, unless the strategy says otherwise.

    Otherwise each rank holds them twice, 15 GB of a 3B model. Values are the same.
    """
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("gradient_as_bucket_view", True)


@dataclass(frozen=True)
class OverRanks:
    """Sums, means and joins over all ranks of a trainer. Each is a collective: all ranks call it or none."""

    trainer: lightning.Trainer

    @property
    def device(self) -> torch.device:
        """Where tensors must be to be exchanged."""
        return self.trainer.strategy.root_device

    def sum(self, value: float) -> float:
        """Add up a number of each rank, in float64."""
        tensor = torch.tensor(float(value), dtype=torch.float64, device=self.device)
        with waiting_for_ranks("a sum", self.trainer.world_size):
            return float(self.trainer.strategy.reduce(tensor, reduce_op="sum"))

    def reduce(self, figures: dict[str, float], operation: Literal["sum", "mean"]) -> dict[str, float]:
        """Add up or average figures in one exchange; every rank must bring the same names."""
        names = sorted(figures)
        values = torch.tensor([figures[name] for name in names], dtype=torch.float64, device=self.device)
        with waiting_for_ranks(f"the {operation} of {', '.join(names[:SHOWN])}", self.trainer.world_size):
            reduced = self.trainer.strategy.reduce(values, reduce_op=operation).tolist()
        return dict(zip(names, reduced, strict=True))

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """Concatenate equally long tensors on their first dimension, rank 0 first; on the CPU."""
        if self.trainer.world_size == 1:
            return values
        own = values.to(self.device).contiguous()
        of_all = [torch.empty_like(own) for _ in range(self.trainer.world_size)]
        with waiting_for_ranks("what each has", self.trainer.world_size):
            torch.distributed.all_gather(of_all, own)  # Lightning's is one that torch warns of, each time
        return torch.cat(of_all).cpu()
