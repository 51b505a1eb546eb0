"""The answers of a grounding audit: each problem asked anew with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, get_args

from observer.evaluation.audit.altered import Cut, OfObserve, OfPicture, beginning, cut, with_picture
from observer.seeding import stable_seed
from observer.types import Completion, Group, Problem, Sampling, Score

if TYPE_CHECKING:
    from observer.answering import Answerer

OF_PICTURE: tuple[OfPicture, ...] = get_args(OfPicture)
OF_OBSERVE: tuple[OfObserve, ...] = get_args(OfObserve)
CONDITIONS: tuple[str, ...] = (*OF_PICTURE, *OF_OBSERVE)
"""What is changed. ``observe_kept`` changes nothing: the response is cut there and goes on from itself."""


class Probe(NamedTuple):
    """A problem that is asked anew."""

    problem: Problem
    response: str
    """The greedy one, with the right picture."""
    partner: Problem | None
    """Whose picture and observation it is shown instead; None where none will do."""
    partner_response: str
    """The greedy one to the partner, with its right picture."""


class Probed(NamedTuple):
    """What the model wrote with one thing changed."""

    given: str
    """The beginning of the response that it went on from; "" where the picture was changed."""
    completion: Completion
    """What it wrote after that."""
    score: Score
    """Of the answer alone: the format is judged with the observation that was the model's own."""


def probed(probes: Sequence[Probe], answerer: Answerer, sampling: Sampling) -> list[dict[str, Probed]]:
    """Return for each probe a condition -> what the model wrote; one that does not apply is left out.

    Args:
        probes: with pictures.
        answerer: asked greedily, so that nothing is drawn at random.
        sampling: how it is asked.
    """
    found: list[dict[str, Probed]] = [{} for _ in probes]
    _with_other_pictures(probes, answerer, sampling, found)
    _with_other_observations(probes, answerer, sampling, found)
    return found


def _with_other_pictures(
    probes: Sequence[Probe], answerer: Answerer, sampling: Sampling, found: list[dict[str, Probed]]
) -> None:
    asked = [
        (place, condition, problem)
        for condition in OF_PICTURE
        for place, probe in enumerate(probes)
        if (problem := with_picture(probe.problem, condition, probe.partner)) is not None
    ]
    [scored] = answerer.answer([problem for *_, problem in asked], sampling)
    for (place, condition, _), group, (score,) in zip(asked, scored.groups, scored.scores, strict=True):
        found[place][condition] = Probed("", group.completions[0], score)


def _with_other_observations(
    probes: Sequence[Probe], answerer: Answerer, sampling: Sampling, found: list[dict[str, Probed]]
) -> None:
    asked: list[tuple[int, OfObserve, Cut, str]] = []
    for place, probe in enumerate(probes):
        own, other = cut(probe.response), cut(probe.partner_response)
        for condition in OF_OBSERVE if own is not None else ():
            assert own is not None
            given = beginning(own, condition, other, stable_seed(probe.problem.id, "observation"))
            if given is not None:
                asked.append((place, condition, own, given))
    problems = [
        replace(probes[place].problem, id=f"{probes[place].problem.id} ({condition})")
        for place, condition, *_ in asked
    ]
    groups = answerer.go_on(problems, [given for *_, given in asked], sampling)
    whole = [_as_if_kept(group, own) for group, (_, _, own, _) in zip(groups, asked, strict=True)]
    scored = answerer.score(whole, sampling.step)
    for (place, condition, _, given), group, (score,) in zip(asked, groups, scored.scores, strict=True):
        found[place][condition] = Probed(given, group.completions[0], score)


def _as_if_kept(group: Group, own: Cut) -> Group:
    """Return a group whose responses begin with their own observation, whatever they were given."""
    kept = own.before + own.observed + own.after
    completions = tuple(replace(one, text=kept + one.text) for one in group.completions)
    return replace(group, completions=completions)
