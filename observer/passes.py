"""Two ways to the hidden states that predict completion tokens: alone, or with work shared in a group.

Both give the same values and gradients. Neither applies the head, and neither knows of rewards or losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from observer.rollout.batch import make_batch
from observer.types import Group


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
    hidden_N_S_D = model.model(**batch.model_inputs(), use_cache=False).last_hidden_state
    _, mask_N_T = completion_tokens(groups)
    row, step = mask_N_T.to(hidden_N_S_D.device).nonzero(as_tuple=True)
    starts_N = torch.tensor([len(prompt.ids) for prompt, _ in rows], device=row.device)
    return hidden_N_S_D[row, starts_N[row] + step - 1]


def shared_pass(model: Any, groups: Sequence[Group]) -> torch.Tensor:
    """Pass each prompt through the model once, and its completions behind its cached keys and values.

    The cache is expanded with its gradients, which add up over the group. Pictures and prompts are computed
    once a group; what is left a completion is its own tokens.

    Args:
        model: the transformers model.
        groups: any groups; completions of one prompt object share its pass.

    Returns:
        As ``plain_pass``.
    """
    prompts = {id(group.prompt): group.prompt for group in groups}
    place = {key: index for index, key in enumerate(prompts)}
    batch = make_batch(model, [(prompt, ()) for prompt in prompts.values()], pad_side="left")
    cache = DynamicCache(config=model.config.get_text_config())
    output = model.model(**batch.model_inputs(), past_key_values=cache, use_cache=True)
    device = batch.ids_N_S.device
    owner_N = torch.tensor(
        [place[id(group.prompt)] for group in groups for _ in group.completions], device=device
    )
    hidden_N_T_D = output.last_hidden_state[owner_N, -1:]
    ids_N_T, mask_N_T = (tensor.to(device) for tensor in completion_tokens(groups))
    if ids_N_T.shape[1] > 1:
        cache.batch_select_indices(owner_N)
        # The last token predicts nothing: it is not passed in.
        next_N = batch.positions_3_N_S.amax((0, 2))[owner_N] + 1
        positions_N_T = next_N[:, None] + torch.arange(ids_N_T.shape[1] - 1, device=device)
        output = model.model(
            input_ids=ids_N_T[:, :-1],
            attention_mask=torch.cat([batch.mask_N_S[owner_N], mask_N_T[:, :-1].long()], dim=1),
            position_ids=positions_N_T.expand(3, -1, -1),
            past_key_values=cache,
            use_cache=True,
        )
        hidden_N_T_D = torch.cat([hidden_N_T_D, output.last_hidden_state], dim=1)
    return hidden_N_T_D[mask_N_T]
