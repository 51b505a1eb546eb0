"""Reward functions written for EasyR1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from observer.refusal import refuse_unless
from observer.rewards.foreign.base import ForeignReward, completions_of, find_function
from observer.types import Completion, Group, Problem

EasyR1Kind = Literal["batch", "sequential"]


@dataclass(frozen=True)
class EasyR1Reward(ForeignReward):
    """r = your function's ``overall``, called as EasyR1 calls it: for reward functions written for EasyR1.

    Its first argument is a list of dicts (``batch``, once per step) or one dict (``sequential``, once per
    completion) with ``response``, ``response_length`` (tokens, the end token counted) and ``ground_truth``
    (the row's answer). It returns a list of dicts, or one, with ``overall``; their other entries are left
    out.

    Reference: EasyR1 since November 2025 (its ``RewardInput`` and ``RewardScore``). Functions for the
    versions before June 2025, which took texts instead of dicts, have to be changed.

    Assumes that the function needs neither the question nor the picture: EasyR1 shows it none.

    Args:
        function: ``package.module:name`` or ``path/file.py:name``.
        arguments: given to it as keywords with every call.
        weight: what its values are multiplied by.
        kind: ``batch`` or ``sequential``; null for the module's ``REWARD_TYPE``, and ``batch`` without one.
    """

    kind: EasyR1Kind | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist, here or as the module names it."""
        super().__post_init__()
        kinds = get_args(EasyR1Kind)
        refuse_unless(self.kind in (None, *kinds), self, "kind", f"give null or one of {', '.join(kinds)}")
        refuse_unless(
            self._kind in kinds, self, "kind", f"its module says {self._kind!r}; give {' or '.join(kinds)}"
        )

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the argument of every call; see ``ForeignReward``."""
        return ({},), {}

    def call(self, groups: Sequence[Group], step: int) -> Sequence[Any]:
        """Call the function once, or once per completion; see ``ForeignReward``."""
        inputs = [_input(problem, completion) for problem, completion in completions_of(groups)]
        if self._kind == "sequential":
            return [self.callable(item, **self.arguments) for item in inputs]
        results: Sequence[Any] = self.callable(inputs, **self.arguments)
        return results

    def read(self, result: Any) -> float:
        """Return ``overall``; see ``ForeignReward``."""
        return float(result["overall"])

    @property
    def _kind(self) -> str:
        return str(self.kind or getattr(find_function(self.function)[0], "REWARD_TYPE", "batch"))


def _input(problem: Problem, completion: Completion) -> dict[str, Any]:
    return {
        "response": completion.text,
        "response_length": len(completion.ids),
        "ground_truth": problem.answer,
    }
