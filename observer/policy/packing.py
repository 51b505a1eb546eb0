"""Prompts, and rows of prompt and completion, as tensors with explicit rotary positions.

Every forward pass of the package takes its positions from here: without them the model would silently fall
back to one-dimensional positions or to ``rope_deltas`` that an earlier call left on the module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from observer.types import Patches, Prompt


def cut_by_length(lengths: Sequence[int], beside: int, most: int) -> Iterator[slice]:
    """Cut rows into batches whose tables, padded to the longest row, have at most so many slots.

    A row that alone has more is a batch of its own.

    Args:
        lengths: tokens of each row, ascending.
        beside: further slots of every row.
        most: slots of a batch.

    >>> list(cut_by_length([3, 3, 4, 50], beside=1, most=10))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start = 0
    for place, length in enumerate(lengths):
        if place > start and (place + 1 - start) * (length + beside) > most:
            yield slice(start, place)
            start = place
    if lengths:
        yield slice(start, len(lengths))


@dataclass(frozen=True, eq=False)
class PackedPrompts:
    """Prompts one after the other in one sequence, in ascending length."""

    prompts: tuple[Prompt, ...]
    ids_S: torch.Tensor
    positions_3_S: torch.Tensor
    """Rotary positions in (time, height, width)."""
    next_P: torch.Tensor
    """The position of the first token after each prompt."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return [len(prompt.ids) for prompt in self.prompts]

    @property
    def pictures(self) -> list[Patches]:
        """All pictures in the order of their placeholders."""
        return [patches for prompt in self.prompts for patches in prompt.pictures]


def pack_prompts(model: Any, prompts: Iterable[Prompt]) -> PackedPrompts:
    """Pack prompts into one sequence, on the model's device.

    Args:
        model: a transformers model with ``get_rope_index`` (Qwen2-VL and its kin).
        prompts: in any order.
    """
    ordered = sorted(prompts, key=lambda prompt: len(prompt.ids))
    batch = make_batch(model, [(prompt, ()) for prompt in ordered])
    real_P_S = batch.mask_N_S.bool()
    return PackedPrompts(
        prompts=tuple(ordered),
        ids_S=batch.ids_N_S[real_P_S],
        positions_3_S=batch.positions_3_N_S[:, real_P_S],
        next_P=batch.positions_3_N_S.amax(0).where(real_P_S, 0).amax(-1) + 1,
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """N sequences, padded on the right."""

    ids_N_S: torch.Tensor
    mask_N_S: torch.Tensor
    """1 for tokens, 0 for padding, int64."""
    positions_3_N_S: torch.Tensor
    """Rotary positions in (time, height, width)."""


def make_batch(model: Any, rows: Sequence[tuple[Prompt, tuple[int, ...]]]) -> Batch:
    """Pad rows of prompt and completion into one batch on the model's device.

    Args:
        model: a transformers model with ``get_rope_index`` (Qwen2-VL and its kin).
        rows: of each row, the prompt and the completion tokens after it.
    """
    sequences = [torch.tensor([*prompt.ids, *completion]) for prompt, completion in rows]
    ids_N_S = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    lengths_N = torch.tensor([len(sequence) for sequence in sequences])
    mask_N_S = (torch.arange(ids_N_S.shape[1]) < lengths_N[:, None]).long()
    grids = [patches.grid for prompt, _ in rows for patches in prompt.pictures]
    positions_3_N_S, _ = model.model.get_rope_index(
        ids_N_S,
        mm_token_type_ids=((ids_N_S == model.config.image_token_id) & mask_N_S.bool()).int(),
        image_grid_thw=torch.stack(grids) if grids else None,
        attention_mask=mask_N_S,
    )
    device = model.device
    return Batch(ids_N_S.to(device), mask_N_S.to(device), positions_3_N_S.to(device))
