"""Sequences of unequal length and their pictures as one padded batch, with explicit rotary positions.

Every forward of the package takes its positions from here: without them the model would silently fall back to
one-dimensional positions or to ``rope_deltas`` that an earlier call left on the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from observer.types import Prompt


@dataclass(frozen=True, eq=False)
class Batch:
    """N padded sequences, ready for the model."""

    ids_N_S: torch.Tensor
    mask_N_S: torch.Tensor
    """1 for tokens, 0 for padding, int64."""
    positions_3_N_S: torch.Tensor
    """Rotary positions in (time, height, width)."""

    def model_inputs(self) -> dict[str, torch.Tensor]:
        """Return the keyword arguments of the model's forward; those of its pictures come on top."""
        return {
            "input_ids": self.ids_N_S,
            "attention_mask": self.mask_N_S,
            "position_ids": self.positions_3_N_S,
        }


def make_batch(
    model: Any,
    rows: Sequence[tuple[Prompt, tuple[int, ...]]],
    pad_side: Literal["left", "right"],
) -> Batch:
    """Pad rows of prompt and completion into one batch on the model's device.

    Args:
        model: a transformers model with ``get_rope_index`` (Qwen2-VL and its kin).
        rows: a prompt and the completion tokens that follow it, a row.
        pad_side: ``left`` to generate, ``right`` to compute log-probs.
    """
    sequences = [[*prompt.ids, *completion] for prompt, completion in rows]
    width = max(map(len, sequences))
    ids_N_S = torch.zeros(len(rows), width, dtype=torch.long)
    mask_N_S = torch.zeros(len(rows), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        place = slice(width - len(sequence), width) if pad_side == "left" else slice(0, len(sequence))
        ids_N_S[row, place] = torch.tensor(sequence)
        mask_N_S[row, place] = 1
    grids = [patches.grid for prompt, _ in rows for patches in prompt.pictures]
    positions_3_N_S, _ = model.model.get_rope_index(
        ids_N_S,
        mm_token_type_ids=((ids_N_S == model.config.image_token_id) & mask_N_S.bool()).int(),
        image_grid_thw=torch.stack(grids) if grids else None,
        attention_mask=mask_N_S,
    )
    device = model.device
    return Batch(ids_N_S.to(device), mask_N_S.to(device), positions_3_N_S.to(device))
