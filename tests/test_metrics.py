import math
from dataclasses import replace

import pytest
import torch

from observer.metrics import LEVELS, HeldOutMetrics, component_means, rollout_figures
from observer.types import Completion, Experience, Group, Problem, Prompt, Sampling, Score, Turn, Verdict


def group(*responses, level=1, reason="", late=False):
    """A group and its scores, of (verdict, formatted, tokens, finish reason); late ones timed out."""
    problem = Problem("a", 0, (Turn("user", "?"),), "7", "integer", level=level)
    completions = [
        Completion((0,) * tokens, (0.0,) * tokens, "", finish, index)
        for index, (_, _, tokens, finish) in enumerate(responses)
    ]
    scores = [
        Score(
            verdict,
            reason,
            None,
            formatted,
            {"accuracy": float(verdict is Verdict.CORRECT), "odd": 2.0},
            reward=0.5,
            timed_out=late and verdict is Verdict.UNVERIFIABLE,
        )
        for verdict, formatted, _, _ in responses
    ]
    return Group(Prompt(problem, (1,)), tuple(completions), Sampling()), scores


RIGHT = (Verdict.CORRECT, True, 10, "stop")
WRONG = (Verdict.WRONG, True, 20, "stop")
CUT = (Verdict.UNVERIFIABLE, False, 50, "length")


def values(metrics):
    return {name: float(value) for name, value in metrics.compute().items()}


def test_held_out_figures_are_means_over_completions_and_by_level():
    metrics = HeldOutMetrics()
    easy, hard = group(RIGHT, RIGHT, WRONG, level=1), group(RIGHT, CUT, level=LEVELS - 1)
    metrics.update([easy[0], hard[0]], [easy[1], hard[1]])
    assert values(metrics) == pytest.approx(
        {
            "problems": 5,
            "accuracy": 3 / 5,
            "format": 4 / 5,
            "truncated": 1 / 5,
            "length": 100 / 5,
            "unverifiable": 1 / 5,
            "timed_out": 0,
            "level_1": 2 / 3,
            f"level_{LEVELS - 1}": 1 / 2,
        }
    )


def test_figures_do_not_depend_on_how_groups_come_in_batches_or_on_which_rank_they_are():
    groups = [
        group(RIGHT, level=1),
        group(WRONG, level=2),
        group(CUT, level=2, late=True),
        group(RIGHT, level=3),
    ]
    whole, first, second = HeldOutMetrics(), HeldOutMetrics(), HeldOutMetrics()
    for one in groups:
        whole.update([one[0]], [one[1]])
    first.update([one[0] for one in groups[:3]], [one[1] for one in groups[:3]])
    second.update([groups[3][0]], [groups[3][1]])
    assert len(first._reductions) == 7
    for name, reduce in first._reductions.items():  # what torchmetrics does with the ranks' counts
        setattr(first, name, reduce(torch.stack([getattr(first, name), getattr(second, name)])))
    assert values(first) == values(whole)


def test_reset_forgets_everything():
    metrics = HeldOutMetrics()
    for one in (group(WRONG, level=5), group(RIGHT, level=1)):
        metrics.reset()
        metrics.update([one[0]], [one[1]])
    assert values(metrics) == {
        "problems": 1,
        "accuracy": 1,
        "format": 1,
        "truncated": 0,
        "length": 10,
        "unverifiable": 0,
        "timed_out": 0,
        "level_1": 1,
    }


def test_groups_and_scores_must_be_of_the_same_number():
    one = group(RIGHT, WRONG)
    for scores in ([], [one[1][:1]]):
        with pytest.raises(ValueError, match="shorter than argument 1"):
            HeldOutMetrics().update([one[0]], scores)


def experience_of(one, two):
    return Experience(
        groups=(one[0], two[0]),
        scores=(tuple(one[1]), tuple(two[1])),
        rewards_P_G=torch.full((2, 2), 0.5, dtype=torch.float64),
        pass_rates_P=torch.tensor([0.5, 0.0], dtype=torch.float64),
        estimates_P_G=torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=torch.float64),
        weights_P_G=torch.tensor([[1.8, 1.8], [0.0, 0.0]], dtype=torch.float64),
        advantages_P_G=torch.tensor([[1.5, -0.5], [0.0, 0.0]], dtype=torch.float64),
    )


def test_answers_that_were_not_checked_in_time_are_counted_apart_from_others_that_cannot_be():
    in_time = group(CUT, RIGHT, reason="the gold answer 'red' is no number")
    too_late = group(CUT, WRONG, late=True)
    figures = rollout_figures(experience_of(in_time, too_late))
    assert (figures["unverifiable"], figures["timed_out"]) == (2 / 4, 1 / 4)
    metrics = HeldOutMetrics()
    metrics.update([in_time[0], too_late[0]], [in_time[1], too_late[1]])
    assert (values(metrics)["unverifiable"], values(metrics)["timed_out"]) == (2 / 4, 1 / 4)


def test_a_wrong_answer_is_not_timed_out_whatever_its_reason_says():
    one = group(WRONG, RIGHT, reason="timed out is what it says")
    assert rollout_figures(experience_of(one, one))["timed_out"] == 0


def test_rollout_figures_are_means_over_completions_or_groups():
    experience = experience_of(group(RIGHT, WRONG), group(CUT, WRONG))
    assert rollout_figures(experience) == {
        "reward": 0.5,
        "accuracy": 1 / 4,
        "format": 3 / 4,
        "unverifiable": 1 / 4,
        "timed_out": 0,
        "length": (10 + 20 + 50 + 20) / 4,
        "truncated": 1 / 4,
        "advantage_abs": 2.0 / 4,
        "weight": 0.9,
        "zero_signal": 1 / 2,
    }
    silent = replace(experience, estimates_P_G=torch.zeros(2, 2), advantages_P_G=torch.zeros(2, 2))
    assert rollout_figures(silent)["zero_signal"] == 1


def test_held_out_figures_of_nothing_are_zeros():
    metrics = HeldOutMetrics()
    metrics.update([], [])
    assert set(values(metrics).values()) == {0.0}


def test_a_component_is_averaged_over_the_completions_of_all_ranks_that_it_applies_to():
    experience = experience_of(group(RIGHT, WRONG), group(CUT, CUT))
    assert component_means(experience, lambda own: own) == {"accuracy": 1 / 4, "odd": 2.0}
    values = iter([0.0, None, 3.0, None])
    scores = tuple(
        tuple(replace(score, components={"odd": next(values), "never": None}) for score in row)
        for row in experience.scores
    )
    here = replace(experience, scores=scores)
    assert component_means(here, lambda own: own) == {"odd": 1.5}
    elsewhere = torch.tensor([[6.0, math.nan]] * 4, dtype=torch.float64)
    assert component_means(here, lambda own: torch.cat([own, elsewhere])) == {"odd": 27 / 6}
