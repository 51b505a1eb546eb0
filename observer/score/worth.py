"""From rows to rewards, weights and advantages, with the code of a training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from observer.answering import score_groups
from observer.objective import Advantage, Combine, ComponentWeights, Weighting, weigh
from observer.rewards import Rubric
from observer.score.rows import Row
from observer.types import Completion, Experience, Group, Prompt, RefusedError, Sampling


@dataclass(frozen=True)
class Recipe:
    """How completions are rewarded, compared and weighed."""

    rubric: Rubric
    advantage: Advantage
    combine: Combine
    """Whether rewards are added up before they are normalised or after."""
    weighting: Weighting
    advantage_clip: float
    """Advantages are cut to plus or minus this."""
    policy: str | None
    """The model whose tokenizer counts tokens; None when the configuration names none."""


class Counter:
    """Makes groups of rows; counts the tokens of rows without ``lengths``."""

    def __init__(self, policy: str | None, uncounted: str | None) -> None:
        """Load the tokenizer if it is needed.

        Args:
            policy: the model that it belongs to.
            uncounted: a row that needs it; None when none does.

        Raises:
            RefusedError: it is needed and cannot be loaded.
        """
        self._tokenizer: Any = None
        if uncounted is None:
            return
        need = f"{uncounted} has no lengths, so its tokens have to be counted"
        mend = "give `lengths` in every row, or the model's directory with --model.policy.path"
        if policy is None:
            raise RefusedError(f"{need}, and no model.policy.path names a tokenizer; {mend}")
        from observer.policy import PolicySpec, load_processor  # the code of models takes seconds

        try:
            self._tokenizer = load_processor(PolicySpec(policy)).tokenizer
        except RefusedError as error:
            raise RefusedError(f"{need}: {error}; {mend}") from error

    def groups(self, rows: Sequence[Row]) -> list[Group]:
        """Return one group per row; without ``ends`` each completion is taken to have ended by itself."""
        texts = [text for row in rows if row.lengths is None for text in row.completions]
        counted = iter(self._tokenizer(texts, add_special_tokens=False).input_ids if texts else ())
        return [self._group(row, counted) for row in rows]

    def _group(self, row: Row, counted: Iterator[list[int]]) -> Group:
        completions = []
        for index, text in enumerate(row.completions):
            if row.lengths is None:
                ids = (*next(counted), self._tokenizer.eos_token_id)
            else:
                ids = (0,) * row.lengths[index]  # which ids they were is not known
            end = "stop" if row.ends is None else row.ends[index]
            completions.append(Completion(ids, (0.0,) * len(ids), text, end, index))
        return Group(Prompt(row.problem, ()), tuple(completions), Sampling(group_size=len(completions)))


def experiences(recipe: Recipe, groups: Sequence[Group]) -> Iterator[Experience]:
    """Score and weigh groups, in order: an experience for each run of groups of equal size.

    A recipe that looks at the whole batch of a step takes this for the batch.
    """
    components = ComponentWeights(recipe.rubric.weights, recipe.rubric.accuracy)
    scores = score_groups(recipe.rubric, groups, step=0).scores
    places = range(len(groups))
    for _, run in groupby(places, key=lambda place: len(groups[place].completions)):
        taken = list(run)
        yield weigh(
            [groups[place] for place in taken],
            [scores[place] for place in taken],
            components,
            recipe.advantage,
            recipe.weighting,
            recipe.combine,
        )


def records(experience: Experience, advantage_clip: float) -> Iterator[dict[str, Any]]:
    """Yield the record of each completion, in order.

    Args:
        experience: scored groups.
        advantage_clip: advantages are cut to plus or minus this. That of a group of one is null.
    """
    clipped_P_G = experience.advantages_P_G.clamp(-advantage_clip, advantage_clip).tolist()
    weights_P_G, pass_rates_P = experience.weights_P_G.tolist(), experience.pass_rates_P.tolist()
    for place, (group, scores) in enumerate(zip(experience.groups, experience.scores, strict=True)):
        for completion, score in zip(group.completions, scores, strict=True):
            yield {
                "id": group.problem.id,
                "index": completion.index,
                "verdict": str(score.verdict),
                "reason": score.reason,
                "extracted": score.extracted,
                "formatted": score.formatted,
                "length": len(completion.ids),
                "components": dict(score.components),
                "reward": score.reward,
                "pass_rate": pass_rates_P[place],
                "weight": weights_P_G[place][completion.index],
                "advantage": clipped_P_G[place][completion.index] if len(scores) > 1 else None,
            }
