"""What of a rollout enters an update, and how it is cut into forward and backward passes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import torch

from observer.refusal import refuse_outside, refuse_unlisted
from observer.types import Experience, Group

ZeroSignal = Literal["drop", "keep"]
Truncated = Literal["keep", "mask"]
Piece = tuple[int, slice]
"""The place of a group, and which of its completions."""


@dataclass(eq=False)
class MicroBatch:
    """What one forward and backward pass sees."""

    groups: list[Group]
    advantages_N: torch.Tensor
    """One per completion, float32, on the device of the policy."""
    old_N_T: torch.Tensor | None = None
    """Log-probs of the policy before the first of several optimizer steps; None where there is only one."""
    reference_N_T: torch.Tensor | None = None
    """Log-probs of the reference; None where there is no KL term."""
    parts: tuple[int, ...] = ()
    """Completions of each micro-batch in it, where several share a pass; none: it is one."""
    empty: bool = False
    """Whether it passes through the policy only because other ranks wait for that, and counts for nothing."""

    @staticmethod
    def empty_of(group: Group) -> MicroBatch:
        """Return an empty one: a completion of a group."""
        return MicroBatch([group.take(slice(1))], torch.zeros(1), empty=True)

    @property
    def tokens(self) -> int:
        """Completion tokens."""
        return sum(group.tokens for group in self.groups)

    @property
    def drawn_N_T(self) -> torch.Tensor:
        """The log-probs that the tokens were drawn with, (N, T), float32, 0 where there is no token."""
        rows = [torch.tensor(c.logprobs) for group in self.groups for c in group.completions]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def counted(micro_batches: Sequence[MicroBatch], groups: Sequence[Group]) -> dict[str, float]:
    """Return the fields of ``UpdateCounts`` for one rank.

    Args:
        micro_batches: of this rank.
        groups: what they were made of, with what the filter left out.
    """
    enter = [micro_batch for micro_batch in micro_batches if not micro_batch.empty]
    return {
        "tokens": sum(micro_batch.tokens for micro_batch in enter),
        "sequences": sum(len(group.completions) for group in groups),
        "micro_batches": sum(max(1, len(micro_batch.parts)) for micro_batch in enter),
        "pictures": sum(len(group.prompt.pictures) for batch in enter for group in batch.groups),
    }


@dataclass(frozen=True)
class UpdateFilter:
    """Which groups and completions enter an update.

    Args:
        advantage_clip: advantages are cut to plus or minus this; None for no limit.
        zero_signal: ``drop``: groups whose advantages are all 0 are left out.
        truncated: ``mask``: completions that were cut at the limit are left out.

    What is left out is not computed. Whether it counts is the denominator's business: see ``reduced``.
    """

    advantage_clip: float | None
    zero_signal: ZeroSignal
    truncated: Truncated

    def __post_init__(self) -> None:
        refuse_outside("model.advantage_clip", self.advantage_clip, above=0, finite=False, hint=", or null")
        refuse_unlisted(zero_signal=(self.zero_signal, ZeroSignal), truncated=(self.truncated, Truncated))

    @property
    def leaves_out(self) -> bool:
        """Whether something of a rollout may not enter."""
        return self.zero_signal == "drop" or self.truncated == "mask"

    def select(self, experience: Experience, places: Sequence[int]) -> list[tuple[Group, torch.Tensor]]:
        """Return the groups that enter, each with the completions that do and their advantages, float64.

        Groups with no signal are left out unless ``zero_signal`` is ``keep``.

        Args:
            experience: the rollout.
            places: of the groups of this update.
        """
        limit = self.advantage_clip or float("inf")
        selected = []
        for place in places:
            group = experience.groups[place]
            kept = [i for i, c in enumerate(group.completions) if c.finished or self.truncated == "keep"]
            advantages_G = experience.advantages_P_G[place, kept]
            if kept and (self.zero_signal == "keep" or bool(advantages_G.any())):
                taken = replace(group, completions=tuple(group.completions[i] for i in kept))
                selected.append((taken, advantages_G.clamp(-limit, limit)))
        return selected


def equal_parts(groups: int, parts: int, seed: int) -> list[list[int]]:
    """Cut the groups of a rollout into equal parts, in seeded order where there are several.

    Args:
        groups: P, a multiple of ``parts``.
        parts: U, optimizer steps of the rollout.
        seed: of the order.

    Returns:
        The places of the groups of each part, ascending.

    >>> equal_parts(4, 1, seed=0)
    [[0, 1, 2, 3]]
    """
    order = list(range(groups))
    if parts > 1:
        order = torch.randperm(groups, generator=torch.Generator().manual_seed(seed)).tolist()
    size = groups // parts
    return [sorted(order[first : first + size]) for first in range(0, groups, size)]


def cut_groups(
    groups: Sequence[Group], most_tokens: int, most_completions: int | None = None
) -> Iterator[list[Piece]]:
    """Cut groups into passes.

    Groups of like length share a pass, since rows are padded to the longest where they attend. A group is cut
    only where it alone is too large; a completion never is, so one that is too long has a pass of its own.

    Args:
        groups: in any order.
        most_tokens: of a pass, prompts counted once per group.
        most_completions: of a pass; None for as many as the tokens allow.

    Yields:
        Pieces of one pass. Together they cover all completions once.
    """
    pieces: list[Piece] = []
    budget = (most_tokens, most_completions or sys.maxsize)
    room, rows = budget
    for place in sorted(range(len(groups)), key=lambda place: groups[place].longest):
        prompt = len(groups[place].prompt.ids)
        lengths = [len(completion.ids) for completion in groups[place].completions]
        first = 0
        while first < len(lengths):
            totals = [total for total in accumulate(lengths[first:], initial=prompt) if total <= room]
            count = min(len(totals) - 1, rows)
            if pieces and count < len(lengths) - first:
                yield pieces
                pieces, (room, rows) = [], budget
                continue
            last = first + max(count, 1)
            pieces.append((place, slice(first, last)))
            room, rows = room - prompt - sum(lengths[first:last]), rows - (last - first)
            first = last
    if pieces:
        yield pieces


def joined(
    micro_batches: Iterable[list[Piece]], groups: Sequence[Group], most_tokens: int
) -> Iterator[list[list[Piece]]]:
    """Join micro-batches into passes, so that prompts and pictures of a group are computed once in each.

    Args:
        micro_batches: of ``cut_groups``.
        groups: that they are pieces of.
        most_tokens: of a pass, prompts counted once per group. A micro-batch that alone is larger has a pass
            of its own.
    """
    together: list[list[Piece]] = []
    room, prompts = most_tokens, set[int]()
    for pieces in micro_batches:
        own = sum(len(one.ids) for place, piece in pieces for one in groups[place].completions[piece])
        places = {place for place, _ in pieces}
        need = own + sum(len(groups[place].prompt.ids) for place in places - prompts)
        if together and need > room:
            yield together
            together, room, prompts = [], most_tokens, set()
            need = own + sum(len(groups[place].prompt.ids) for place in places)
        together.append(pieces)
        room, prompts = room - need, prompts | places
    if together:
        yield together


def make_micro_batches(
    selected: Sequence[tuple[Group, torch.Tensor]],
    most_tokens: int,
    most_completions: int | None,
    device: torch.device,
    join: bool = False,
) -> list[MicroBatch]:
    """Return the forward and backward passes of an optimizer step.

    Args:
        selected: groups with the advantages of their completions, from ``UpdateFilter.select``.
        most_tokens: see ``cut_groups``.
        most_completions: see ``cut_groups``.
        device: of the policy.
        join: let micro-batches share passes of ``most_tokens``: for a loss that counts by micro-batch.
    """
    groups = [group for group, _ in selected]
    cut: Iterable[list[Piece]] = cut_groups(groups, most_tokens, most_completions)
    passes = joined(cut, groups, most_tokens) if join else ([pieces] for pieces in cut)
    return [
        MicroBatch(
            groups=[groups[place].take(piece) for pieces in each for place, piece in pieces],
            advantages_N=torch.cat([selected[place][1][piece] for pieces in each for place, piece in pieces])
            .float()
            .to(device),
            parts=tuple(sum(len(groups[i].completions[piece]) for i, piece in pieces) for pieces in each),
        )
        for each in passes
    ]
