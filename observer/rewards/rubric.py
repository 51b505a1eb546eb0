"""The rubric: reads, verifies and scores a group with named, weighted rewards. It normalises nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

from observer.refusal import SHOWN, printable, shown
from observer.rewards.base import Reward
from observer.rewards.response_format import Reading, ResponseFormat
from observer.run.names import curve_name
from observer.run.waiting import waiting
from observer.types import Group, RefusedError, Score, ScoredGroups, Verdict
from observer.verifier.verifier import Question, Result, Verifier


@dataclass(frozen=True)
class Rubric:
    """The response format and the rewards of a run.

    reward = sum of weight x component over the rewards that enter before the group's normalisation; bonus =
    the same sum over those added after it. Where a reward does not apply to a completion (None), the mean
    over the others of its group stands in; a bonus that does not apply is 0.

    Args:
        rewards: name -> reward; the names are those of the components in logs.
        response_format: finds the answer in a response. It sees the text of a completion alone.
        verifier: checks the answers. Whoever made it closes it.
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
            Reward.__post_init__(reward)  # a class with a constructor of its own may not have asked
        curves: dict[str, str] = {}
        for name in self.rewards:
            if (other := curves.setdefault(curve_name(name), name)) != name:
                raise RefusedError(
                    f"rewards: {other!r} and {name!r} would both be logged as {curve_name(name)}; rename one"
                )
        if not isinstance(self.response_format, ResponseFormat):
            raise RefusedError(f"response_format: {self.response_format!r} is not a ResponseFormat")

    def score(self, group: Group, step: int) -> tuple[Score, ...]:
        """Score each completion of a group, in order.

        Args:
            group: the prompt and its G completions.
            step: rollouts finished before this one.

        Raises:
            RuntimeError: a reward raised, or did not return one finite number per completion.
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
            RuntimeError: a reward raised, or did not return one finite number per completion.
        """
        read = self._read(groups)
        columns = {name: self._values(name, groups, read, step) for name in self.rewards}
        return [
            self._rewarded(row, {name: column[place] for name, column in columns.items()})
            for place, row in enumerate(read)
        ]

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the rewards that enter before the group's normalisation, by name."""
        return {n: reward.weight for n, reward in self.rewards.items() if not reward.after_normalisation}

    @property
    def accuracy(self) -> frozenset[str]:
        """The names of the rewards for accuracy."""
        return frozenset(name for name, reward in self.rewards.items() if reward.of_accuracy)

    def _read(self, groups: Sequence[Group]) -> list[tuple[Score, ...]]:
        """Find and verify the answers; their rewards are filled in later."""
        readings = [[self.response_format.read(c.text) for c in group.completions] for group in groups]
        results = iter(
            self.verifier.verify_all(
                [
                    Question(group.problem.kind, group.problem.answer, reading.answer, group.problem.options)
                    for group, row in zip(groups, readings, strict=True)
                    for reading in row
                ]
            )
        )
        return [tuple(_score(reading, next(results)) for reading in row) for row in readings]

    def _values(
        self, name: str, groups: Sequence[Group], read: Sequence[Sequence[Score]], step: int
    ) -> list[list[float | None]]:
        """Return the values of one reward, for each completion of each group."""
        try:
            with waiting("a reward is computed", name):
                values = self.rewards[name].of_all(groups, read, step)
        except Exception as error:
            raise RuntimeError(f"reward {name}, {error}") from error
        return [_checked(name, row, group) for group, row in zip(groups, values, strict=True)]

    def _rewarded(
        self, read: Sequence[Score], columns: Mapping[str, Sequence[float | None]]
    ) -> tuple[Score, ...]:
        """Fill in the rewards of a group's completions."""
        weights = self.weights
        filled = {name: _filled(columns[name]) for name in weights}
        scores = []
        for row, score in enumerate(read):
            own = {name: values[row] for name, values in filled.items()}
            components = {name: values[row] for name, values in columns.items()}
            # fsum rounds once, so that a sum does not depend on the order in which the rewards are named
            total = math.fsum(weight * own[name] for name, weight in weights.items())
            bonus = math.fsum(
                reward.weight * (components[name] or 0.0)
                for name, reward in self.rewards.items()
                if reward.after_normalisation
            )
            scores.append(replace(score, components=components, filled=own, reward=total, bonus=bonus))
        return tuple(scores)


def _score(reading: Reading, result: Result) -> Score:
    # The fault of a response says why there is no answer.
    why = reading.fault if reading.answer is None and result.verdict is Verdict.WRONG else result.reason
    return Score(
        *(result.verdict, why, reading.answer, reading.formatted),
        share=reading.share,
        timed_out=result.timed_out,
    )


def _filled(values: Sequence[float | None]) -> list[float]:
    """Put the mean of the others where there is no value."""
    there = [value for value in values if value is not None]
    mean = math.fsum(there) / len(there) if there else 0.0
    return [mean if value is None else value for value in values]


def _checked(name: str, values: Sequence[float | None], group: Group) -> list[float | None]:
    """Return a reward's values as floats. A broken reward stops the run: a default would train on noise."""
    where = f"reward {name}, row {printable(group.problem.id, SHOWN)}"
    if not isinstance(values, Sequence) or len(values) != len(group.completions):
        got = f"{len(values)} values" if isinstance(values, Sequence) else f"a {type(values).__name__}"
        raise RuntimeError(f"{where}: returned {got}; return a list of {len(group.completions)} numbers")
    for index, value in enumerate(values):
        if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
            raise RuntimeError(f"{where}: value {index} is {shown(value)}; return finite numbers, or None")
    return [None if value is None else float(value) for value in values]


def score_groups(rubric: Rubric, groups: Sequence[Group], step: int) -> ScoredGroups:
    """Verify and score the completions of groups, wherever these come from.

    Args:
        rubric: verifies and scores.
        groups: with any completions, drawn or read from a file.
        step: rollouts finished, for rewards that change over a run.

    Raises:
        RuntimeError: a reward raised, or did not return one finite number per completion.
    """
    return ScoredGroups(tuple(groups), tuple(rubric.score_all(groups, step)))
