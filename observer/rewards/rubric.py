"""The rubric: reads, verifies and scores a group with named, weighted rewards. It normalises nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real

from observer.rewards.base import Reward
from observer.rewards.response_format import ResponseFormat
from observer.rewards.verifier import verify
from observer.types import Completion, Group, Problem, RefusedError, Score, Verdict


@dataclass(frozen=True)
class Rubric:
    """What a response must look like and what it is worth.

    reward = sum of weight x part over the rewards that enter before the group's normalisation; bonus = the
    same sum over those added after it.

    Args:
        rewards: name -> reward; the names are those of the parts in logs.
        response_format: finds the answer in a response.
    """

    rewards: Mapping[str, Reward]
    response_format: ResponseFormat

    def __post_init__(self) -> None:
        """Refuse a rubric without rewards, and values that are none."""
        if not self.rewards:
            raise RefusedError("rewards: the mapping is empty; name at least one, such as accuracy: Accuracy")
        for name, reward in self.rewards.items():
            if not isinstance(reward, Reward):
                raise RefusedError(f"rewards: {name} is {reward!r}, not a Reward; give an instance of one")
        if not isinstance(self.response_format, ResponseFormat):
            raise RefusedError(f"response_format: {self.response_format!r} is not a ResponseFormat")

    def score(self, group: Group, step: int) -> tuple[Score, ...]:
        """Score each completion of a group, in order.

        Args:
            group: the prompt and its G completions.
            step: rollouts finished before this one.

        Raises:
            RuntimeError: a reward raised, or did not return one finite number a completion.
        """
        read = tuple(self._read(group.problem, completion) for completion in group.completions)
        columns = {}
        for name, reward in self.rewards.items():
            try:
                values = reward(group, read, step)
            except Exception as error:
                raise RuntimeError(
                    f"reward {name}, row {group.problem.id}, step {step}: {error!r}"
                ) from error
            columns[name] = _checked(name, values, group)
        scores = []
        for row, score in enumerate(read):
            parts = {name: values[row] for name, values in columns.items()}
            total, bonus = self._total(parts, after=False), self._total(parts, after=True)
            scores.append(replace(score, parts=parts, reward=total, bonus=bonus))
        return tuple(scores)

    def _read(self, problem: Problem, completion: Completion) -> Score:
        reading = self.response_format.read(completion.text)
        verdict, reason = verify(problem.answer, reading.answer, problem.kind, problem.options)
        if reading.answer is None and verdict is Verdict.WRONG:
            reason = reading.fault  # it says why there is no answer
        return Score(verdict, reason, reading.answer, reading.formatted)

    def _total(self, parts: Mapping[str, float], after: bool) -> float:
        # fsum rounds once, so that the total does not depend on the order in which the rewards are named
        return math.fsum(
            reward.weight * parts[name]
            for name, reward in self.rewards.items()
            if reward.after_normalisation is after
        )


def _checked(name: str, values: Sequence[float], group: Group) -> list[float]:
    """Return a reward's values as floats. A broken reward stops the run: a default would train on noise."""
    where = f"reward {name}, row {group.problem.id}"
    if not isinstance(values, Sequence) or len(values) != len(group.completions):
        got = f"{len(values)} values" if isinstance(values, Sequence) else f"a {type(values).__name__}"
        raise RuntimeError(f"{where}: returned {got}; return a list of {len(group.completions)} numbers")
    for index, value in enumerate(values):
        if not isinstance(value, Real) or not math.isfinite(value):
            raise RuntimeError(f"{where}: value {index} is {value!r}; return finite numbers")
    return [float(value) for value in values]
