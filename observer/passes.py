"""Two ways to the hidden states that predict completion tokens: alone, or with work shared in a group.

Both give the same values and gradients. Neither applies the head, and neither knows of rewards or losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from observer.attention import GroupLayout
from observer.rollout.batch import make_batch
from observer.rollout.pictures import PictureFeatures
from observer.types import Group, Prompt


def completion_tokens(groups: Sequence[Group]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return completion tokens as ids (N, T), int64, 0 as padding, and their mask (N, T), bool."""
    rows = [torch.tensor(completion.ids) for group in groups for completion in group.completions]
    ids_N_T = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths_N = torch.tensor([len(row) for row in rows])
    return ids_N_T, torch.arange(ids_N_T.shape[1]) < lengths_N[:, None]


def plain_pass(model: Any, groups: Sequence[Group]) -> torch.Tensor:
    """Pass prompt and completion of every row through the model: pictures and prompts once a completion.

    Args:
        model: the transformers model.
        groups: any groups.

    Returns:
        The hidden state before each completion token, (K, D), rows in the order of the groups' completions.
    """
    rows = [(group.prompt, completion.ids) for group in groups for completion in group.completions]
    batch = make_batch(model, rows, pad_side="right")
    inputs: dict[str, Any] = batch.model_inputs()
    if pictures := [patches for prompt, _ in rows for patches in prompt.pictures]:
        inputs["pixel_values"] = torch.cat([patches.pixels for patches in pictures]).to(model.device, model.dtype)
        inputs["image_grid_thw"] = torch.stack([patches.grid for patches in pictures]).to(model.device)
    hidden_N_S_D = model.model(**inputs, use_cache=False).last_hidden_state
    _, mask_N_T = completion_tokens(groups)
    row, step = mask_N_T.to(hidden_N_S_D.device).nonzero(as_tuple=True)
    starts_N = torch.tensor([len(prompt.ids) for prompt, _ in rows], device=row.device)
    return hidden_N_S_D[row, starts_N[row] + step - 1]


def shared_pass(model: Any, features: PictureFeatures, groups: Sequence[Group]) -> torch.Tensor:
    """Pass each prompt through the model once, with its completions behind it, in one sequence without padding.

    Pictures and prompts are computed once a group; what is left a completion is its own tokens. The model must
    attend through ``observer.attention``.

    Args:
        model: the transformers model.
        features: of its vision tower.
        groups: any groups; completions of one prompt object share its pass.

    Returns:
        As ``plain_pass``.
    """
    packed = _pack(model, groups)
    pictures = [patches for prompt in packed.prompts for patches in prompt.pictures]
    output = model.model(
        input_ids=packed.ids_S[None],
        position_ids=packed.positions_3_S[:, None],
        layout=packed.layout,
        **features.model_inputs(pictures),
        use_cache=False,
    )
    return output.last_hidden_state[0, packed.before_K]


@dataclass(frozen=True, eq=False)
class _Packed:
    """Prompts and completions in one sequence; the last token of a completion predicts nothing and is left out."""

    prompts: list[Prompt]
    """In the order of the sequence."""
    ids_S: torch.Tensor
    positions_3_S: torch.Tensor
    layout: GroupLayout
    before_K: torch.Tensor
    """The place before each completion token, in the order of the groups' completions."""


def _pack(model: Any, groups: Sequence[Group]) -> _Packed:
    prompts = sorted({id(group.prompt): group.prompt for group in groups}.values(), key=lambda p: len(p.ids))
    place = {id(prompt): index for index, prompt in enumerate(prompts)}
    owner_N = [place[id(group.prompt)] for group in groups for _ in group.completions]
    ids_N = [completion.ids for group in groups for completion in group.completions]
    order = sorted(range(len(ids_N)), key=lambda row: owner_N[row])  # completions in the order of their prompts

    batch = make_batch(model, [(prompt, ()) for prompt in prompts], pad_side="right")
    device, mask_P_S = model.device, batch.mask_N_S.bool()
    prompt_lengths = [len(prompt.ids) for prompt in prompts]
    lengths = [len(ids_N[row]) - 1 for row in order]
    owners = [owner_N[row] for row in order]
    layout = GroupLayout.of(prompt_lengths, lengths, owners, device)

    tail_ids_S = torch.tensor([token for row in order for token in ids_N[row][:-1]], dtype=torch.long)
    next_P = batch.positions_3_N_S.amax(0).where(mask_P_S, 0).amax(-1) + 1
    repeats_N = torch.tensor(lengths, device=device)
    steps_S = torch.tensor([step for length in lengths for step in range(length)], dtype=torch.long)
    tail_positions_S = next_P[owners].repeat_interleave(repeats_N) + steps_S.to(device)

    ends_P = list(accumulate(prompt_lengths))
    starts = dict(zip(order, accumulate(lengths, initial=ends_P[-1]), strict=False))
    before = [
        place
        for row, (owner, ids) in enumerate(zip(owner_N, ids_N, strict=True))
        for place in (ends_P[owner] - 1, *range(starts[row], starts[row] + len(ids) - 1))
    ]
    return _Packed(
        prompts=prompts,
        ids_S=torch.cat([batch.ids_N_S[mask_P_S], tail_ids_S.to(device)]),
        positions_3_S=torch.cat(
            [batch.positions_3_N_S[:, mask_P_S], tail_positions_S.expand(3, -1)], dim=1
        ),
        layout=layout,
        before_K=torch.tensor(before, device=device),
    )
