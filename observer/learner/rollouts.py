"""How the experience of a step comes about: groups are drawn, scored and weighed, here and nowhere else.

What is learned from it is the learner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from observer.learner.module import PolicyModule
from observer.objective import (
    Advantage,
    Combine,
    ComponentWeights,
    GroupMeanStd,
    Quadratic,
    Ranks,
    Weighting,
    weigh,
)
from observer.refusal import refuse_unlisted
from observer.strategies import described
from observer.types import Experience, Group, Problem, RefusedError, Score


class RolloutModule(PolicyModule):
    """A policy that draws groups of completions and says what each is worth."""

    def __init__(
        self,
        group_size: int = 8,
        advantage: Advantage = GroupMeanStd(),
        combine: Combine = "sum_then_normalise",
        weighting: Weighting = Quadratic(),
        resample: int = 0,
        screen: int = 0,
        **options: Any,
    ) -> None:
        """Keep the options; see ``PolicyModule`` for the others.

        Args:
            group_size: G, completions a prompt.
            advantage: how much better a completion is than its group.
            combine: whether rewards are added up before they are normalised or after (GDPO), each alone.
            weighting: how much a group weighs, by how hard it was.
            resample: how often at most a step's groups without signal are replaced by groups of other rows
                from the same schedule (dynamic sampling, DAPO, arXiv 2503.14476); they count as observed.
            screen: completions by which a group is judged to have signal or not, before the other
                group_size - screen are drawn (SPEED-RL, arXiv 2506.09016); 0 judges whole groups. The rewards
                of these completions are computed twice.
            options: those of ``PolicyModule``.

        Raises:
            RefusedError: a value is out of its range.
        """
        super().__init__(**options)
        if group_size < 2:
            raise RefusedError(
                f"model.group_size is {group_size}; {type(advantage).__name__} compares the completions of a "
                f"group: at least 2 are needed"
            )
        refuse_unlisted(combine=(combine, Combine))
        if resample < 0:
            raise RefusedError(f"model.resample is {resample}; it must be >= 0")
        if screen and not 2 <= screen < group_size:
            raise RefusedError(
                f"model.screen is {screen}; it must be 0, or at least 2 and below group_size {group_size}"
            )
        if screen and not resample:
            raise RefusedError(
                f"model.screen is {screen} and model.resample is 0: nothing would replace groups that are "
                f"screened out; set resample to at least 1"
            )
        self.group_size = group_size
        self.advantage = advantage
        self.combine: Combine = combine
        self.weighting = weighting
        self.resample = resample
        self.screen = screen

    def recipe(self) -> dict[str, Any]:
        """Return what must not change when a run is resumed; see ``PolicyModule``."""
        return super().recipe() | {
            "group_size": self.group_size,
            "advantage": described(self.advantage),
            "combine": self.combine,
            "weighting": described(self.weighting),
            "resample": self.resample,
            "screen": self.screen,
        }

    def rollout(self, problems: Sequence[Problem], step: int) -> tuple[Experience, list[Experience]]:
        """Draw and score a group for each problem; replace those without signal, ``resample`` times at most.

        Returns:
            What there is to learn from, and what it was before each replacement.
        """
        groups, scores = self.sample(problems, step)
        experience = self.weigh(groups, scores)
        replaced: list[Experience] = []
        others = self.ladder.draw_again(step)
        while len(replaced) < self.resample and self.over_ranks(experience.silent_P).any():
            replaced.append(experience)
            silent = experience.silent_P.nonzero()[:, 0].tolist()
            fresh = self.ladder.problems(next(others)[: len(silent)])
            for place, group, row in zip(silent, *self.sample(fresh, step), strict=False):
                groups[place], scores[place] = group, row
            experience = self.weigh(groups, scores)
        if self.screen:
            experience = self.weigh(*self.complete(groups, step))
        return experience, replaced

    def sample(self, problems: Sequence[Problem], step: int) -> tuple[list[Group], list[tuple[Score, ...]]]:
        """Draw a group for each problem, or as much of it as ``screen`` says, and score it."""
        if not problems:
            return [], []
        with self.stage("render"):
            prompts = self.renderer.render(problems)
            if self.renders_ahead and not self.resample:
                self.renderer.prefetch(self.ladder.upcoming())
        with self.stage("generate"):
            groups = self.engine.generate(prompts, self.sampling(self.screen or self.group_size, step))
        with self.stage("score"):
            return groups, self.rubric.score_all(groups, step)

    def complete(self, groups: Sequence[Group], step: int) -> tuple[list[Group], list[tuple[Score, ...]]]:
        """Draw what is missing of groups that were screened, and score them."""
        missing = self.sampling(self.group_size - self.screen, step, first=self.screen)
        with self.stage("generate"):
            others = self.engine.generate([group.prompt for group in groups], missing)
        whole = self.sampling(self.group_size, step)
        groups = [
            Group(one.prompt, (*one.completions, *other.completions), whole)
            for one, other in zip(groups, others, strict=True)
        ]
        with self.stage("score"):
            return groups, self.rubric.score_all(groups, step)

    def weigh(self, groups: Sequence[Group], scores: Sequence[tuple[Score, ...]]) -> Experience:
        """Say what each completion is worth to the update."""
        with self.stage("weigh"):
            components = ComponentWeights(self.rubric.weights, self.rubric.accuracy)
            return weigh(groups, scores, components, self.advantage, self.weighting, self.combine, self.ranks)

    @property
    def renders_ahead(self) -> bool:
        """Whether the prompts of the next step are rendered beside this one.

        Not where the policy is on a CPU: its cores have no time to spare, and two threads that compute with
        several cores each slow each other down many times.
        """
        return self.device.type != "cpu"

    @property
    def ranks(self) -> Ranks:
        """This rank and the way to the others, for statistics of the whole batch."""
        return Ranks(self.global_rank, self.over_ranks)
