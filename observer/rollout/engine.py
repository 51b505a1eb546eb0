"""The contract of an engine: what draws completions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch

from observer.types import Group, Prompt, Sampling


class Engine(ABC):
    """Draws completions. A plain object, pulled at the start of a step: no module, no callback, no strategy.

    It bans vision tokens, returns token ids with the log-probs they were drawn with, and draws each token
    from the inverse CDF at a number that depends on (seed, step, problem, place in the group, token) alone.
    """

    weights: ClassVar[Literal["shared", "own"]]
    """``shared``: it samples from the policy's own module and a sync is a version bump. ``own``: it loads a
    copy of the weights, and takes newer ones in a sync."""

    version: int = -1
    """The number of finished rollouts whose weights it holds; -1 before the first sync."""

    @abstractmethod
    def start(self, policy: Any) -> None:
        """Take what to sample from. Called once, before anything is generated.

        Args:
            policy: where ``weights`` is ``shared``, the ``Policy``, its weights loaded; where it is ``own``,
                the ``PolicySpec`` of the model to load, so that no weights are loaded twice.
        """

    @abstractmethod
    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take the weights of a version."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw ``sampling.group_size`` completions for each prompt, groups in the order of the prompts."""

    def close(self) -> None:  # noqa: B027 - an engine that holds nothing has nothing to do
        """End for good."""
