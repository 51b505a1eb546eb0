"""What of a rollout enters an update, and what one pass of it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from observer.types import Experience, Group

ZeroSignal = Literal["drop", "keep"]
Truncated = Literal["keep", "mask"]


@dataclass(eq=False)
class Chunk:
    """What one forward and backward pass sees."""

    groups: list[Group]
    advantages_N: torch.Tensor
    """One a completion, float32, on the device of the policy."""
    old_N_T: torch.Tensor | None = None
    """Log-probs of the policy that drew the rollout; None while that is the policy itself."""

    @property
    def tokens(self) -> int:
        """Completion tokens."""
        return sum(group.tokens for group in self.groups)

    @property
    def drawn(self) -> torch.Tensor:
        """The log-probs that the tokens were drawn with, (N, T), float32, 0 where there is none."""
        rows = [torch.tensor(c.logprobs) for group in self.groups for c in group.completions]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@dataclass(frozen=True)
class Entrance:
    """What may enter an update.

    Args:
        advantage_clip: advantages are cut to plus or minus this.
        zero_signal: ``drop``: no group whose advantages are all 0.
        truncated: ``mask``: no completion that was cut at the limit.
    """

    advantage_clip: float
    zero_signal: ZeroSignal
    truncated: Truncated

    def admit(self, experience: Experience, part: Sequence[int]) -> list[tuple[Group, torch.Tensor]]:
        """Return groups with what enters of their completions, and an advantage for each of these, float64.

        Args:
            experience: the rollout.
            part: places of the groups of the update.
        """
        admitted = []
        for place in part:
            group = experience.groups[place]
            kept = [i for i, c in enumerate(group.completions) if c.finished or self.truncated == "keep"]
            advantages_G = experience.advantages_P_G[place, kept]
            if kept and (self.zero_signal == "keep" or bool(advantages_G.any())):
                taken = replace(group, completions=tuple(group.completions[i] for i in kept))
                admitted.append((taken, advantages_G.clamp(-self.advantage_clip, self.advantage_clip)))
        return admitted
