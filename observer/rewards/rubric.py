"""The rubric: reads, verifies and scores a group with named, weighted rewards. It normalises nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

from observer.rewards.base import Reward
from observer.rewards.isolation import Question, Verifier
from observer.rewards.response_format import Reading, ResponseFormat
from observer.types import Group, RefusedError, Score, Verdict


@dataclass(frozen=True)
class Rubric:
    """What a response must look like and what it is worth.

    reward = sum of weight x part over the rewards that enter before the group's normalisation; bonus = the
    same sum over those added after it.

    Args:
        rewards: name -> reward; the names are those of the parts in logs.
        response_format: finds the answer in a response. Of a completion it sees the text and nothing else.
        verifier: says which answers are right. Whoever made it closes it.
    """

    rewards: Mapping[str, Reward]
    response_format: ResponseFormat
    verifier: Verifier = field(default_factory=Verifier, repr=False, compare=False)

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
        return self.score_all([group], step)[0]

    def score_all(self, groups: Sequence[Group], step: int) -> list[tuple[Score, ...]]:
        """Score each completion of several groups; all their answers are verified in one batch.

        Args:
            groups: prompts with their completions.
            step: rollouts finished before this one.

        Returns:
            The scores of each group, in order.

        Raises:
            RuntimeError: a reward raised, or did not return one finite number a completion.
        """
        return [
            self._rewarded(group, read, step) for group, read in zip(groups, self._read(groups), strict=True)
        ]

    def _read(self, groups: Sequence[Group]) -> list[tuple[Score, ...]]:
        """Find and verify the answers; what they are worth is not filled in yet."""
        readings = [[self.response_format.read(c.text) for c in group.completions] for group in groups]
        verdicts = iter(
            self.verifier.verify_all(
                [
                    Question(group.problem.kind, group.problem.answer, reading.answer, group.problem.options)
                    for group, row in zip(groups, readings, strict=True)
                    for reading in row
                ]
            )
        )
        return [tuple(_score(reading, *next(verdicts)) for reading in row) for row in readings]

    def _rewarded(self, group: Group, read: tuple[Score, ...], step: int) -> tuple[Score, ...]:
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

    def _total(self, parts: Mapping[str, float], after: bool) -> float:
        # fsum rounds once, so that the total does not depend on the order in which the rewards are named
        return math.fsum(
            reward.weight * parts[name]
            for name, reward in self.rewards.items()
            if reward.after_normalisation is after
        )


def _score(reading: Reading, verdict: Verdict, reason: str) -> Score:
    if reading.answer is None and verdict is Verdict.WRONG:
        reason = reading.fault  # it says why there is no answer
    return Score(verdict, reason, reading.answer, reading.formatted)


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
