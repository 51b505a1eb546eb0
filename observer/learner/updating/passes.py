"""Passes that change nothing: ranks that gather a layer when it computes have to run equally many.

Without them a rank with fewer micro-batches would end its step while another waits for its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from observer.learner.ranks import OverRanks
from observer.objective import MicroBatch
from observer.types import Group


def most_passes(passes: Sequence[int], over_ranks: OverRanks) -> list[int]:
    """Return of each optimizer step how many passes the rank with the most has.

    Args:
        passes: of this rank, for each optimizer step.
        over_ranks: of the run; all ranks call it.
    """
    most: list[int] = over_ranks.join(torch.tensor([passes])).reshape(-1, len(passes)).amax(0).tolist()
    return most


def with_equal_passes(
    micro_batches: Sequence[list[MicroBatch]], parts: Sequence[Sequence[Group]], over_ranks: OverRanks
) -> list[list[MicroBatch]]:
    """Return the micro-batches of each optimizer step, filled up with empty ones to as many as any rank has.

    Args:
        micro_batches: of this rank, for each optimizer step.
        parts: the groups that they were made of; at least one each.
        over_ranks: of the run; all ranks call it.
    """
    most = most_passes([len(of_one_step) for of_one_step in micro_batches], over_ranks)
    return [
        of_one_step + [MicroBatch.empty_of(part[0])] * (count - len(of_one_step))
        for of_one_step, part, count in zip(micro_batches, parts, most, strict=True)
    ]


def pass_empty(module: Any, groups: Sequence[Group]) -> None:
    """Pass groups forward and backward for nothing, as other ranks wait for this one's part in a pass.

    Args:
        module: the learner.
        groups: of this rank.
    """
    seen = module.policy.logprobs(groups, with_entropy=False)
    module.manual_backward(seen.values_N_T.sum() * 0.0)
