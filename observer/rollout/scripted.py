"""An engine that returns given texts: for tests, and to try rewards without a capable model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from observer.rollout.engine import Engine
from observer.types import Completion, Group, Prompt, RefusedError, Sampling

if TYPE_CHECKING:
    from observer.policy import Policy


class ScriptedEngine(Engine):
    """Answers with given texts in turn; ``{answer}`` in a text becomes the problem's gold answer."""

    weights = "none"

    def __init__(self, texts: list[str]) -> None:
        """Set the script.

        Args:
            texts: completion i of every group is ``texts[i % len(texts)]``; at least one.

        Raises:
            RefusedError: there is no text.
        """
        if not texts:
            raise RefusedError("ScriptedEngine.texts is empty; give at least one completion")
        self.texts = texts
        self._policy: Policy

    def start(self, policy: Policy) -> None:
        """Take the policy, for its tokenizer; see ``Engine``."""
        self._policy = policy

    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Note the version; see ``Engine``."""
        self.version = version

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Return the script as groups. Log-probs are 0: nothing was drawn; see ``Engine``."""
        return [
            Group(prompt, tuple(self._say(prompt, i, sampling) for i in sampling.places), sampling)
            for prompt in prompts
        ]

    def _say(self, prompt: Prompt, index: int, sampling: Sampling) -> Completion:
        text = self.texts[index % len(self.texts)].replace("{answer}", prompt.problem.answer)
        ids = [*self._policy.tokenizer(text).input_ids, self._policy.end_ids[0]]
        finished = len(ids) <= sampling.max_tokens
        if not finished:
            ids = ids[: sampling.max_tokens]
            text = self._policy.tokenizer.decode(ids)
        return Completion(tuple(ids), (0.0,) * len(ids), text, "stop" if finished else "length", index)
