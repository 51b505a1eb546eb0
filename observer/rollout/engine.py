"""The interface of an engine, which draws completions."""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch

from observer.types import Group, Prompt, Sampling

SHOWN = 3
"""Rows that a message names at most."""


class NotFiniteError(FloatingPointError):
    """The logits of completions are not all finite: nothing can be drawn from them."""

    def __init__(self, groups: Sequence[Group]) -> None:
        """Name the rows.

        Args:
            groups: the batch, with what was drawn of each completion; of those whose logits are not finite
                the last log-prob is nan, and the last token means nothing.
        """
        lost = [
            (group.problem.id, len(completion.ids))
            for group in groups
            for completion in group.completions
            if math.isnan(completion.logprobs[-1])
        ]
        rows = list(dict.fromkeys(row for row, _ in lost))
        named = ", ".join(map(reprlib.repr, rows[:SHOWN])) + (", .." if len(rows) > SHOWN else "")
        super().__init__(
            f"the model's output is not finite, at token {lost[0][1]} of {len(lost)} completions of "
            f"{len(rows)} rows ({named}): a weight is not finite, or weights have grown too far (lower the "
            f"learning rate)"
        )
        self.groups = tuple(groups)


class Engine(ABC):
    """Draws completions. A plain object, pulled at the start of a step: no module, no callback, no strategy.

    It bans vision tokens, and returns token ids with the log-probs they were drawn with: those of the
    distribution that ``Sampling`` describes. The ids of the prompt that it uses are the renderer's.
    """

    weights: ClassVar[Literal["shared", "own"]] = "shared"
    """``shared``: it samples from the policy's own module, and a sync only sets the version. ``own``: it has
    a copy of the weights, which a sync replaces."""

    reproducible: ClassVar[Literal["tokens", "rows"]] = "tokens"
    """What a run that goes on from a checkpoint has in common with one that was never stopped. ``tokens``:
    each is drawn from the inverse CDF at a number that depends only on (seed, step, problem, index in the
    group, token), and on a CPU all of them are the same. ``rows``: the engine draws by numbers of its own;
    rows and their order are the same, tokens may be others."""

    longest: int | None = None
    """Tokens of a prompt and its completion at most, set before ``start`` by who knows; None: unknown."""

    version: int = -1
    """Rollouts finished when its weights were those of the policy; -1 before the first sync."""

    @abstractmethod
    def start(self, policy: Any) -> None:
        """Take the model to sample from. Called before the first ``generate``, and again after ``close``.

        Args:
            policy: where ``weights`` is ``shared``, the ``Policy``, its weights loaded; where it is ``own``,
                the ``PolicySpec`` of the model to load, so that no weights are loaded twice.
        """

    @abstractmethod
    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take the policy's weights, by name, after ``version`` finished rollouts."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw ``sampling.group_size`` completions for each prompt, groups in the order of the prompts.

        Raises:
            NotFiniteError: the model's logits are not finite.
        """

    def close(self) -> None:  # noqa: B027 - an engine that holds nothing has nothing to do
        """Release memory and processes; the engine is not used again before another ``start``."""
