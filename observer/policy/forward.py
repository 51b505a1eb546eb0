"""Two forward passes to the hidden states before completion tokens: plain, or prompts shared in a group.

Both give the same values and gradients. Neither applies the LM head; there are no rewards and no losses here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from observer.policy.attention import GroupLayout
from observer.policy.packing import PackedPrompts, make_batch, pack_prompts
from observer.policy.vision import PictureFeatures
from observer.types import Group


def completion_tokens(groups: Sequence[Group]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return completion tokens as ids (N, T), int64, 0 as padding, and their mask (N, T), bool."""
    rows = [torch.tensor(completion.ids) for group in groups for completion in group.completions]
    ids_N_T = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths_N = torch.tensor([len(row) for row in rows])
    return ids_N_T, torch.arange(ids_N_T.shape[1]) < lengths_N[:, None]


def plain_pass(model: Any, groups: Sequence[Group]) -> torch.Tensor:
    """Run the model on prompt and completion, one padded row per completion: prompts are not shared.

    Args:
        model: the transformers model.
        groups: any groups.

    Returns:
        The hidden state before each completion token, (K, D), rows in the order of the groups' completions.
    """
    rows = [(group.prompt, completion.ids) for group in groups for completion in group.completions]
    batch = make_batch(model, rows)
    pictures = [patches for prompt, _ in rows for patches in prompt.pictures]
    pixels = grids = None
    if pictures:
        pixels = torch.cat([patches.pixels for patches in pictures]).to(model.device, model.dtype)
        grids = torch.stack([patches.grid for patches in pictures]).to(model.device)
    hidden_N_S_D = model.model(
        input_ids=batch.ids_N_S,
        attention_mask=batch.mask_N_S,
        position_ids=batch.positions_3_N_S,
        pixel_values=pixels,
        image_grid_thw=grids,
        use_cache=False,
    ).last_hidden_state
    _, mask_N_T = completion_tokens(groups)
    row, step = mask_N_T.to(hidden_N_S_D.device).nonzero(as_tuple=True)
    starts_N = torch.tensor([len(prompt.ids) for prompt, _ in rows], device=row.device)
    hidden_K_D: torch.Tensor = hidden_N_S_D[row, starts_N[row] + step - 1]
    return hidden_K_D


def shared_pass(model: Any, features: PictureFeatures, groups: Sequence[Group]) -> torch.Tensor:
    """Run the model on prompts, each once, and then their completions, in one sequence without padding.

    Pictures and prompts are computed once per group; a completion adds its own tokens only. The model must
    attend through ``observer.policy.attention``.

    Args:
        model: the transformers model.
        features: the features of its vision tower.
        groups: any groups; completions of one prompt object share its pass.

    Returns:
        As ``plain_pass``.
    """
    packed = pack_prompts(model, {id(group.prompt): group.prompt for group in groups}.values())
    tails = _Tails.after(packed, groups)
    device = model.device
    output = model.model(
        input_ids=torch.cat([packed.ids_S, tails.ids_S.to(device)])[None],
        position_ids=torch.cat([packed.positions_3_S, tails.positions_3_S.to(device)], dim=1)[:, None],
        layout=GroupLayout.of(packed.lengths, tails.lengths, tails.owners, device),
        **features.model_inputs(packed.pictures),
        use_cache=False,
    )
    hidden_S_D: torch.Tensor = output.last_hidden_state[0]
    return hidden_S_D.index_select(0, tails.before_K.to(device))


@dataclass(frozen=True, eq=False)
class _Tails:
    """Completions after packed prompts, in the order of their prompts.

    The last token of each is left out: no token follows it.
    """

    owners: list[int]
    """The index of each completion's prompt."""
    lengths: list[int]
    """Tokens of each completion, without the last."""
    ids_S: torch.Tensor
    positions_3_S: torch.Tensor
    before_K: torch.Tensor
    """The index in the sequence before each completion token, in the order of the groups' completions."""

    @staticmethod
    def after(packed: PackedPrompts, groups: Sequence[Group]) -> _Tails:
        place = {id(prompt): index for index, prompt in enumerate(packed.prompts)}
        rows = [(place[id(group.prompt)], c.ids) for group in groups for c in group.completions]
        order = sorted(range(len(rows)), key=lambda row: rows[row][0])
        owners = [rows[row][0] for row in order]
        lengths = [len(rows[row][1]) - 1 for row in order]
        steps_S = torch.tensor([step for length in lengths for step in range(length)], dtype=torch.long)
        first_N = packed.next_P.cpu()[owners]
        positions_S = first_N.repeat_interleave(torch.tensor(lengths)) + steps_S
        ends_P = list(accumulate(packed.lengths))
        starts = dict(zip(order, accumulate(lengths, initial=ends_P[-1]), strict=False))
        before = [
            index
            for row, (owner, ids) in enumerate(rows)
            for index in (ends_P[owner] - 1, *range(starts[row], starts[row] + len(ids) - 1))
        ]
        return _Tails(
            owners=owners,
            lengths=lengths,
            ids_S=torch.tensor([token for row in order for token in rows[row][1][:-1]], dtype=torch.long),
            positions_3_S=positions_S.expand(3, -1),
            before_K=torch.tensor(before),
        )
