"""The denominator of an update's loss: named, and counted over all ranks.

What a filter leaves out (groups without signal, completions that were cut at the limit) has no loss. Whether
it counts decides how large a step is: with 7 of 8 groups left out, a mean over what is left is eight times
one over all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

Denominator = Literal["tokens", "micro_batch", "sequences", "constant"]


@dataclass(frozen=True)
class UpdateCounts:
    """What an update counts, over all ranks."""

    tokens: float
    """Completion tokens that enter."""
    sequences: float
    """Completions drawn for it, those that were left out too."""
    micro_batches: float
    """Parts that it was cut into; several may share a forward and backward pass."""
    pictures: float = 0.0
    """Pictures of the prompts that enter."""


def reduced(
    loss_N_T: torch.Tensor,
    mask_N_T: torch.Tensor,
    denominator: Denominator,
    counts: UpdateCounts,
    max_tokens: int,
    parts: Sequence[int] = (),
) -> torch.Tensor:
    """Return the share that a micro-batch has in the loss of its update; these shares add up to the loss.

    - ``tokens``: sum / tokens **that enter**. As in DAPO (arXiv 2503.14476), which draws again until no
      group is without signal, so that none can count; where some are left after the last round, or there is
      no round, this is the mean over the others. verl's ``token-mean`` and TRL's ``dapo`` count the tokens
      of groups without signal: so does this with ``zero_signal: keep``.
    - ``sequences``: the mean over **all** completions, 0 for those left out, of their means over tokens, so
      that a token of a long completion counts less. As in GRPO (arXiv 2402.03300) and TRL's ``grpo``.
    - ``constant``: sum / (**all** completions x max_tokens), so that neither a length nor the share of groups
      without signal changes what a token counts. As in Dr. GRPO (arXiv 2503.20783) and TRL's ``dr_grpo``.
    - ``micro_batch``: the mean over micro-batches of their means over tokens, which depends on how the update
      was cut. As in the Observe-R1 release, where groups without signal are in micro-batches too: the learner
      keeps them.

    Args:
        loss_N_T: loss of each token; values outside the mask are ignored.
        mask_N_T: bool, where there is a token.
        denominator: by what the loss is divided.
        counts: of the update.
        max_tokens: the limit of a completion.
        parts: completions of each micro-batch, where several share a pass; none: it is one.

    Sequences of 1 and 3 tokens with a loss of 6 per token, all of the update:

    >>> loss, mask = torch.full((2, 3), 6.0), torch.tensor([[True, False, False], [True, True, True]])
    >>> counts = UpdateCounts(tokens=4, sequences=2, micro_batches=1)
    >>> [float(reduced(loss, mask, kind, counts, 8)) for kind in ("tokens", "sequences", "constant")]
    [6.0, 6.0, 1.5]

    With two more that were left out:

    >>> counts = UpdateCounts(tokens=4, sequences=4, micro_batches=1)
    >>> [float(reduced(loss, mask, kind, counts, 8)) for kind in ("tokens", "sequences", "constant")]
    [6.0, 3.0, 0.75]
    """
    kept_N_T = loss_N_T.masked_fill(~mask_N_T, 0.0)
    if denominator == "sequences":
        return (kept_N_T / mask_N_T.sum(-1, keepdim=True).clamp(min=1)).sum() / counts.sequences
    if denominator == "micro_batch":
        sizes = list(parts) or [len(kept_N_T)]
        means = [
            kept.sum() / of.sum()
            for kept, of in zip(torch.split(kept_N_T, sizes), torch.split(mask_N_T, sizes), strict=True)
        ]
        return torch.stack(means).sum() / counts.micro_batches
    return kept_N_T.sum() / (counts.tokens if denominator == "tokens" else counts.sequences * max_tokens)
