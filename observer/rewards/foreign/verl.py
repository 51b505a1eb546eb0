"""Reward functions written for verl."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observer.rewards.foreign.base import ForeignReward, completions_of, is_async
from observer.rewards.run_async import run_async
from observer.types import Completion, Group, Problem


@dataclass(frozen=True)
class VerlReward(ForeignReward):
    """r = your ``compute_score``, called as verl calls it: for reward functions written for verl.

    It is called, or awaited, once a completion with the keywords ``data_source``, ``solution_str`` (the
    response), ``ground_truth`` (the row's answer) and ``extra_info``: the row's metadata ``extra_info``, or
    without one all its metadata, and ``num_turns`` None and ``rollout_reward_scores`` empty, as for one
    turn. It returns a number, a dict with ``score``, or a tuple with the number first; what else these hold
    is left out.

    Reference: verl, its naive reward manager of January 2026; newer versions were not read.

    Assumes one call per completion: functions of verl's batch manager have other names for their arguments.

    Args:
        function: ``package.module:name`` or ``path/file.py:name``.
        arguments: given to it as keywords with every call.
        weight: what its values are multiplied by.
        data_source: for rows whose metadata has no ``data_source``.
    """

    data_source: str = "unknown"

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the keywords of every call; see ``ForeignReward``."""
        return (), dict.fromkeys(("data_source", "solution_str", "ground_truth", "extra_info"))

    def call(self, groups: Sequence[Group], step: int) -> Sequence[Any]:
        """Call the function once per completion, or await all calls together; see ``ForeignReward``."""
        calls = [self._keywords(problem, completion) for problem, completion in completions_of(groups)]
        called = self.callable
        if not is_async(called):
            return [called(**keywords) for keywords in calls]

        async def together() -> list[Any]:
            return await asyncio.gather(*(called(**keywords) for keywords in calls))

        return run_async(together())

    def read(self, result: Any) -> float:
        """Return the score; see ``ForeignReward``."""
        if isinstance(result, Mapping):
            return float(result["score"])
        return float(result[0] if isinstance(result, tuple | list) else result)

    def _keywords(self, problem: Problem, completion: Completion) -> dict[str, Any]:
        extra = problem.metadata.get("extra_info")
        info = dict(extra if isinstance(extra, Mapping) else problem.metadata)
        return {
            "data_source": problem.metadata.get("data_source", self.data_source),
            "solution_str": completion.text,
            "ground_truth": problem.answer,
            "extra_info": {**info, "num_turns": None, "rollout_reward_scores": {}},
            **self.arguments,
        }
