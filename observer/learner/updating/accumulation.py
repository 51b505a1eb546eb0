"""Adds up the gradient of one optimizer step over micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from observer.learner.updating.passes import pass_empty
from observer.objective import MicroBatch, UpdateCounts, counted
from observer.types import Group


def accumulated(module: Any, micro_batches: Sequence[MicroBatch], part: Sequence[Group]) -> torch.Tensor:
    """Add up the gradient of one optimizer step; see ``ObserveLearner.accumulate_gradient``.

    Args:
        module: the learner.
        micro_batches: of this rank; may be none.
        part: the groups that they were made of, with those that were left out.

    Returns:
        The sums of ``Objective.figures`` on this rank, float64, on the CPU.
    """
    totals = torch.zeros(len(module.objective.figures), dtype=torch.float64, device=module.device)
    counts = UpdateCounts(**module.over_ranks.reduce(counted(micro_batches, part), "sum"))
    for micro_batch in micro_batches:
        if micro_batch.empty:
            pass_empty(module, micro_batch.groups)
            continue
        with module.gradient_sync(last=micro_batch is micro_batches[-1]):
            loss, figures = module.micro_batch_loss(micro_batch, counts)
            # Gradients are averaged over ranks, while the denominator counts over all of them.
            module.manual_backward(loss * module.trainer.world_size)
        totals += figures
    if counts.micro_batches and not micro_batches:  # other ranks wait for this one's gradients
        pass_empty(module, [part[0].take(slice(1))])
    if not counts.pictures:
        module.policy.drop_vision_gradients()
    return totals.cpu()
