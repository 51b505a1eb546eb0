"""How far the sampler's log-probs are from the trainer's: figures of a step, and by what prompts show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch

from observer.types import Group

BOUNDS = (64, 256, 1024)
"""Visual tokens of a prompt by which rows with pictures are told apart: up to each, and more."""
PARTS = ("text", *(f"visual_{bound}" for bound in BOUNDS), "visual_more")
"""The parts that completions are counted in, by the visual tokens of their prompts: none, up to 64, .."""
SUMS = ("tokens", "prob_error", "kl", "ratio")
LARGEST = ("largest_gap", "largest_ratio")
PREFIX = "mismatch/"
"""Before the names of the figures among those of an update."""
MOST = 20.0
"""Nats at which a difference is cut, as log-ratios of losses are: exp of it stays a number to plot."""


def mismatch_sums(
    old_N_T: torch.Tensor, drawn_N_T: torch.Tensor, mask_N_T: torch.Tensor, parts_N: torch.Tensor
) -> torch.Tensor:
    """Return per part of ``PARTS`` the sums of ``SUMS`` over its tokens, then ``LARGEST``, float64.

    With d = old - drawn: ``prob_error`` exp|d|, ``kl`` exp(d) - 1 - d (k3), ``ratio`` exp(d).

    Args:
        old_N_T: the trainer's log-probs on the weights that the rollout was drawn with.
        drawn_N_T: the sampler's log-probs of the same tokens.
        mask_N_T: bool, where there is a token.
        parts_N: the place of each completion in ``PARTS``, int64.
    """
    gaps_N_T = (old_N_T.detach() - drawn_N_T).double().clamp(-MOST, MOST) * mask_N_T
    ratios_N_T, tokens_N_T = gaps_N_T.exp(), torch.ones_like(gaps_N_T)
    summed = (tokens_N_T, gaps_N_T.abs().exp(), ratios_N_T - 1 - gaps_N_T, ratios_N_T)
    sums = torch.stack([(values_N_T * mask_N_T).sum(-1) for values_N_T in summed])
    largest = torch.stack([(values * mask_N_T).amax(-1) for values in (gaps_N_T.abs(), ratios_N_T)])
    inside = parts_N == torch.arange(len(PARTS), device=parts_N.device)[:, None]  # parts x completions
    return torch.cat([inside.double() @ sums.T, (inside[..., None] * largest.T).amax(1)], dim=-1)


def mismatch_figures(counted: torch.Tensor) -> dict[str, float]:
    """Return the figures of a step: of all tokens, of those with and without pictures, by visual tokens.

    ``prob_error`` is the mean of exp|old - drawn| (NeMo-RL's token_mult_prob_error): 1 where both agree, and
    1.05 where probabilities are off by a factor of 1.05. ``kl`` is that of the trainer from the sampler, by
    the k3 estimator. ``ratio`` is the mean importance ratio, which is 1 on average where the log-probs are
    those of the distribution that drew the tokens. A part that has no token, or all, has no figures.

    Args:
        counted: of ``mismatch_sums``, added up over micro-batches and ranks.

    Two tokens: without a picture the sampler gave one .5 and the trainer .4, with one .5 and .25.

    >>> old, drawn = torch.tensor([[0.4], [0.25]]).log(), torch.tensor([[0.5], [0.5]]).log()
    >>> sums = mismatch_sums(old, drawn, torch.ones(2, 1, dtype=torch.bool), torch.tensor([0, 2]))
    >>> for name, value in mismatch_figures(sums).items():
    ...     print(name, round(value, 3))
    prob_error 1.625
    kl 0.108
    ratio 0.65
    largest_gap 0.693
    largest_ratio 0.8
    prob_error_text 1.25
    kl_text 0.023
    largest_gap_text 0.223
    prob_error_pictures 2.0
    kl_pictures 0.193
    largest_gap_pictures 0.693
    prob_error_visual_256 2.0
    """
    whole = _named(counted)
    if not (tokens := whole.pop("tokens")):
        return {}
    figures = whole
    for part, rows in (("text", counted[:1]), ("pictures", counted[1:])):
        own = _named(rows)
        if 0 < own["tokens"] < tokens:
            figures |= {f"{name}_{part}": own[name] for name in ("prob_error", "kl", "largest_gap")}
    for part, row in zip(PARTS[1:], counted[1:], strict=True):
        own = _named(row[None])
        if 0 < own["tokens"] < tokens:
            figures[f"prob_error_{part}"] = own["prob_error"]
    return figures


def _named(rows: torch.Tensor) -> dict[str, float]:
    """Return tokens, means and maxima of some parts by name."""
    sums = dict(zip(SUMS, rows[:, : len(SUMS)].sum(0).tolist(), strict=True))
    tokens = sums["tokens"]
    means = {name: value / max(tokens, 1.0) for name, value in sums.items() if name != "tokens"}
    largest = dict(zip(LARGEST, rows[:, len(SUMS) :].amax(0).tolist(), strict=True))
    return {"tokens": tokens, **means, **largest}


class Mismatch:
    """Counts a step's mismatch over its micro-batches and all ranks, where the engine has weights of its own.

    An engine that samples from the policy itself has no mismatch to tell, and no figures.
    """

    def __init__(self, image_id: int, watches: bool) -> None:
        """Begin a step.

        Args:
            image_id: the token that stands for a visual token in a prompt.
            watches: whether the engine has weights of its own.
        """
        self.image_id, self.watches = image_id, watches
        self._counted: torch.Tensor | None = None

    def note(
        self,
        old_N_T: torch.Tensor,
        drawn_N_T: torch.Tensor,
        mask_N_T: torch.Tensor,
        groups: Sequence[Group],
    ) -> None:
        """Count the tokens of a micro-batch.

        Args:
            old_N_T: see ``mismatch_sums``.
            drawn_N_T: see ``mismatch_sums``.
            mask_N_T: see ``mismatch_sums``.
            groups: whose completions these are.
        """
        if not self.watches:
            return
        parts = [(_part(group.prompt.ids.count(self.image_id)), len(group.completions)) for group in groups]
        places = [part for part, completions in parts for _ in range(completions)]
        own = mismatch_sums(old_N_T, drawn_N_T, mask_N_T, torch.tensor(places, device=mask_N_T.device))
        self._counted = own if self._counted is None else _added([self._counted, own])

    def figures(self, join: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Return the figures of the step, after ``PREFIX``, equal on all ranks, and begin the next.

        Args:
            join: concatenates tensors of all ranks on the first dimension; a collective.
        """
        if not self.watches:
            return {}
        empty = torch.zeros(len(PARTS), len(SUMS) + len(LARGEST), dtype=torch.float64)
        own, self._counted = empty if self._counted is None else self._counted, None
        figures = mismatch_figures(_added(join(own[None]).cpu()))
        return {f"{PREFIX}{name}": value for name, value in figures.items()}


def _part(visual: int) -> int:
    """Return the place in ``PARTS`` of a prompt with so many visual tokens."""
    return 1 + bisect_left(BOUNDS, visual) if visual else 0


def _added(several: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    """Return counts that are put together: sums added, maxima the larger."""
    stacked = several if isinstance(several, torch.Tensor) else torch.stack(list(several))
    count = len(SUMS)
    return torch.cat([stacked[..., :count].sum(0), stacked[..., count:].amax(0)], dim=-1)
