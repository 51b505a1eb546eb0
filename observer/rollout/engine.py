"""The engine protocol: what draws completions, and what it must be served with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch

from observer.policy.vision import PictureFeatures
from observer.types import Group, Prompt, Sampling


class Served(Protocol):
    """What an engine sees of the policy."""

    model: Any
    """The transformers model."""
    features: PictureFeatures
    """Its vision tower."""
    tokenizer: Any
    """Decodes completions."""
    banned_ids: tuple[int, ...]
    """Vision tokens: sampled once, they would break every later pass over the sequence."""
    end_ids: tuple[int, ...]
    """Any of these ends a completion."""


class Engine(ABC):
    """Draws completions. A plain object, pulled at the start of a step: no module, no callback, no strategy.

    It bans vision tokens, returns token ids with the log-probs they were drawn with, and draws each token
    from the inverse CDF at a number that depends on (seed, step, problem, place in the group, token) alone.
    """

    weights: ClassVar[Literal["shared", "own"]]
    """``shared``: it samples from the policy's own module and a sync is a version bump."""

    version: int = -1
    """The number of finished rollouts whose weights it holds; -1 before the first sync."""

    @abstractmethod
    def start(self, policy: Served) -> None:
        """Take the policy to sample from. Called once, after the weights are loaded."""

    @abstractmethod
    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take the weights of a version."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw ``sampling.group_size`` completions for each prompt, groups in the order of the prompts."""

    def close(self) -> None:  # noqa: B027 - an engine that holds nothing has nothing to do
        """End for good."""
