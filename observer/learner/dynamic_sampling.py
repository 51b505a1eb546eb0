"""Dynamic sampling: groups without signal are replaced by groups of other problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from observer.refusal import refuse_outside
from observer.types import Experience, Group, Problem, RefusedError, Score


class Stages(Protocol):
    """The learner's methods that draw, score and weigh, as a subclass may have overridden them."""

    def generate(self, problems: Sequence[Problem], step: int) -> list[Group]:
        """Draw a group for each problem."""

    def score(self, groups: Sequence[Group], step: int) -> list[tuple[Score, ...]]:
        """Score each completion."""

    def weigh(self, groups: Sequence[Group], scores: Sequence[tuple[Score, ...]]) -> Experience:
        """Turn scores into advantages."""


@dataclass(frozen=True)
class DynamicSampling:
    """Replaces groups without signal; with ``screen``, after only some of their completions.

    **A screened group is not a fair sample**: the completions that decide are part of it and trained on, as
    in SPEED-RL, so it holds more wrong answers to an easy row, and more right ones to a hard row, than the
    policy gives. Of a row with the pass rate p = .9, screened by two completions, the groups of 8 that are
    kept have (1 + 6 p) / 8 = .8. Advantages, weights and ``train/accuracy`` are of these groups. What the
    schedule is shown is not: for each row tried, the completions that decided, whatever they decided. Their
    mean is p, from fewer completions.

    References: DAPO, arXiv 2503.14476 (replacement); SPEED-RL, arXiv 2506.09016 (screening).

    Args:
        group_size: G, completions of a whole group.
        resample: rounds of replacement per step, at most.
        screen: completions per group that are drawn before it is judged; 0 for all.

    Raises:
        RefusedError: a number is out of its range, or they do not go together.
    """

    group_size: int
    resample: int = 0
    screen: int = 0

    def __post_init__(self) -> None:
        size, screen = self.group_size, self.screen
        if size < 2:
            raise RefusedError(
                f"model.group_size is {size}; advantages compare the completions of a group: at least 2 are "
                f"needed"
            )
        refuse_outside("model.resample", self.resample, 0)
        if screen and not 2 <= screen < size:
            raise RefusedError(
                f"model.screen is {screen}; it must be 0, or at least 2 and below group_size {size}"
            )
        if screen and not self.resample:
            raise RefusedError(
                f"model.screen is {screen} and model.resample is 0: nothing would replace groups that are "
                f"screened out; set resample to at least 1"
            )

    @property
    def first_draw(self) -> int:
        """Completions per group that are drawn before it is judged."""
        return self.screen or self.group_size

    def replace_silent_groups(
        self,
        stages: Stages,
        experience: Experience,
        others: Iterator[Sequence[Problem]],
        step: int,
        join: Callable[[torch.Tensor], torch.Tensor],
    ) -> tuple[Experience, list[Experience]]:
        """Replace groups without signal until there are none on any rank, ``resample`` times at most.

        Args:
            stages: draws, scores and weighs the new groups.
            experience: the rollout as it was drawn.
            others: per round, problems that the step has not drawn yet; may be fewer than are replaced.
            step: rollouts finished.
            join: concatenates a tensor of all ranks; all ranks make equally many rounds.

        Returns:
            The rollout after the last round, and the rollouts before each round.
        """
        replaced: list[Experience] = []
        while len(replaced) < self.resample and join(experience.silent_P).any():
            replaced.append(experience)
            groups, scores = list(experience.groups), list(experience.scores)
            silent = experience.silent_P.nonzero()[:, 0].tolist()
            fresh = stages.generate(next(others)[: len(silent)], step)
            for place, group, row in zip(silent, fresh, stages.score(fresh, step), strict=False):
                groups[place], scores[place] = group, row
            experience = stages.weigh(groups, scores)
        return experience, replaced
