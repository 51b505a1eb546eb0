import math
from dataclasses import dataclass

import pytest

from observer.rewards import Accuracy, Bonus, Format, Free, Observe, Reward, Rubric, Think
from observer.strategies import members
from observer.types import Completion, Group, Problem, Prompt, RefusedError, Sampling, Score, Turn, Verdict
from tables import holds_for

REFERENCE = Bonus(weight=0.2, min_tokens=100, constraint="shortest", after_normalisation=False)


def response(answer, tokens=150, finish="stop", formatted=True):
    text = f"<think>so</think><answer>{answer}</answer>" if formatted else str(answer)
    return Completion((5,) * tokens, (-0.5,) * tokens, text, finish, index=0)


def group_of(*completions, answer="7", kind="integer"):
    problem = Problem("tiles-1", 0, (Turn("user", "How many?"),), answer, kind)
    prompt = Prompt(problem, ids=(1, 2))
    return Group(prompt, completions, Sampling(group_size=len(completions)))


def bonuses(bonus, *completions, response_format=None):
    rubric = Rubric({"bonus": bonus}, response_format or Think())
    return [score.components["bonus"] for score in rubric.score(group_of(*completions), step=0)]


def test_the_release_parts_add_up_to_its_rewards():
    rewards = {"accuracy": Accuracy(), "format": Format(), "bonus": REFERENCE}
    group = group_of(response(7, 180), response(7, 150), response(8), response(7, formatted=False))
    scores = Rubric(rewards, Think()).score(group, step=3)
    assert [score.reward for score in scores] == [1.5, 1.7, 0.5, 0.0]
    assert [score.bonus for score in scores] == [0.0] * 4
    assert scores[1].components == {"accuracy": 1.0, "format": 1.0, "bonus": 1.0}
    assert [score.verdict for score in scores] == [
        Verdict.CORRECT,
        Verdict.CORRECT,
        Verdict.WRONG,
        Verdict.WRONG,
    ]


def test_a_bonus_after_normalisation_is_kept_apart_from_the_reward():
    rewards = {"accuracy": Accuracy(), "bonus": Bonus(weight=0.2)}
    scores = Rubric(rewards, Think()).score(group_of(response(7, 9), response(7, 10)), step=0)
    assert [(score.reward, score.bonus) for score in scores] == [(1.0, 0.2), (1.0, 0.0)]


def test_a_group_without_a_right_answer_gets_no_bonus():
    assert bonuses(REFERENCE, *[response(8)] * 8) == [0.0] * 8
    assert bonuses(Bonus(), *[response(8)] * 8) == [0.0] * 8
    assert bonuses(Bonus()) == []


@holds_for("weight", [0.5, 1.0, -3.0])
def test_no_bonus_changes_what_is_correct(weight):
    group = group_of(response(7, 150), response(8, 150))
    rubric = Rubric({"accuracy": Accuracy(), "bonus": Bonus(weight, after_normalisation=False)}, Think())
    scores = rubric.score(group, step=0)
    assert [score.correct for score in scores] == [True, False]
    assert [score.reward for score in scores] == [1.0 + weight, 0.0]


def test_the_shortest_of_those_that_keep_the_constraint_wins():
    lengths = [response(7, tokens) for tokens in (90, 150, 120)]
    assert bonuses(Bonus(min_tokens=100), *lengths) == [0.0, 0.0, 1.0]
    assert bonuses(REFERENCE, *lengths) == [0.0, 0.0, 0.0]
    assert bonuses(REFERENCE, *lengths[1:]) == [0.0, 1.0]


def test_the_floor_is_exclusive_and_the_cap_inclusive():
    assert bonuses(Bonus(min_tokens=100), response(7, 100), response(7, 101)) == [0.0, 1.0]
    assert bonuses(Bonus(max_tokens=100), response(7, 100), response(7, 101)) == [1.0, 0.0]
    assert bonuses(Bonus(max_tokens=100), response(7, 101)) == [0.0]


def test_a_cut_or_unformatted_response_never_wins():
    for bonus in (Bonus(), REFERENCE):
        assert bonuses(bonus, response(7, 110, finish="length"), response(7, 150)) == [0.0, 1.0]
        assert bonuses(bonus, response(7, 110, formatted=False), response(7, 150)) == [0.0, 1.0]
    group = group_of(response(7), response(7))
    scores = [Score(Verdict.CORRECT, "", "7", formatted) for formatted in (False, True)]
    assert Bonus()(group, scores, 0) == [0.0, 1.0]
    assert bonuses(Bonus(), response(8, 110), response(7, 150)) == [0.0, 1.0]


def test_those_that_tie_share_the_bonus():
    shares = bonuses(
        Bonus(), response(7, 120), response(8, 120), response(7, 120), response(7, 120), response(7, 121)
    )
    assert shares == [1 / 3, 0.0, 1 / 3, 1 / 3, 0.0]


@holds_for(
    ("fields", "message"),
    [
        ({"min_tokens": -1}, "min_tokens is -1; give 0 or more"),
        ({"min_tokens": 100, "max_tokens": 100}, "max_tokens is 100 and min_tokens 100"),
        ({"constraint": "longest"}, "'longest'; give one of eligible, shortest"),
        ({"weight": math.nan}, "weight is nan; give a finite number"),
    ],
)
def test_an_impossible_bonus_is_refused_with_what_is_allowed(fields, message):
    with pytest.raises(RefusedError, match=message):
        Bonus(**fields)


@holds_for("reward", [Accuracy, Format, Bonus])
def test_a_weight_is_any_finite_number(reward):
    assert reward(weight=-2.0).weight == -2.0
    for weight in (math.inf, -math.inf, math.nan):
        with pytest.raises(RefusedError, match=f"{reward.__name__}: weight is"):
            reward(weight=weight)


def test_a_response_without_tags_scores_nothing():
    rewards = {"accuracy": Accuracy(), "format": Format(), "bonus": Bonus()}
    (score,) = Rubric(rewards, Observe()).score(group_of(response(7, formatted=False)), step=0)
    assert (score.reward, score.bonus, score.extracted, score.formatted) == (0.0, 0.0, None, False)
    assert (score.verdict, score.reason) == (Verdict.WRONG, "<observe> is missing")
    (free,) = Rubric(rewards, Free()).score(group_of(response(7, formatted=False)), step=0)
    assert (free.reward, free.extracted) == (1.5, "7")


def test_an_unverifiable_gold_answer_is_never_accurate():
    group = group_of(response("red"), response("red", formatted=False), answer="red")
    for score in Rubric({"accuracy": Accuracy()}, Think()).score(group, step=0):
        assert score.verdict is Verdict.UNVERIFIABLE
        assert "'red'" in score.reason
        assert score.reward == 0.0


@dataclass(frozen=True)
class _Spy(Reward):
    """Returns what it is told to and keeps what it saw."""

    values: object = ()
    weight: float = 1.0

    def __call__(self, group, scores, step):
        self.values[:] = [1.0 if score.correct else -1.0 for score in scores]
        assert group.problem.id == "tiles-1"
        assert all(dict(score.components) == {} for score in scores)
        return [value * step for value in self.values]


@dataclass(frozen=True)
class _Fixed(Reward):
    """Returns what it is given."""

    values: object = None
    weight: float = 1.0

    def __call__(self, group, scores, step):
        return self.values


def test_a_reward_sees_the_group_the_verdicts_and_the_step():
    seen = []
    scores = Rubric({"spy": _Spy(seen)}, Think()).score(group_of(response(7), response(8)), step=4)
    assert seen == [1.0, -1.0]
    assert [score.components["spy"] for score in scores] == [4.0, -4.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "returned 1 values; return a list of 2 numbers"),
        ([1.0, 2.0, 3.0], "returned 3 values"),
        (None, "returned a NoneType"),
        ([1.0, math.nan], "value 1 is nan"),
        ([math.inf, 1.0], "value 0 is inf"),
        ([1.0, "1"], "value 1 is '1'"),
    ],
)
def test_a_broken_reward_stops_the_run_and_is_named(values, message):
    rubric = Rubric({"accuracy": Accuracy(), "mine": _Fixed(values)}, Think())
    with pytest.raises(RuntimeError, match=f"reward mine, row tiles-1: {message}"):
        rubric.score(group_of(response(7), response(8)), step=0)


def test_a_weight_of_zero_keeps_the_component_and_adds_nothing():
    (score,) = Rubric({"accuracy": Accuracy(weight=0.0)}, Think()).score(group_of(response(7)), step=0)
    assert (score.components["accuracy"], score.reward) == (1.0, 0.0)


def test_a_rubric_of_no_rewards_or_of_other_things_is_refused():
    with pytest.raises(RefusedError, match="empty"):
        Rubric({}, Think())
    with pytest.raises(RefusedError, match="mine is 3, not a Reward"):
        Rubric({"mine": 3}, Think())
    with pytest.raises(RefusedError, match="not a Reward"):
        Rubric({"accuracy": Accuracy}, Think())
    with pytest.raises(RefusedError, match="not a ResponseFormat"):
        Rubric({"accuracy": Accuracy()}, "Think")


def test_equal_parts_give_equal_totals_whatever_the_order_of_names():
    weights = {"a": 1e16, "b": 1.0, "c": -1e16, "d": 0.7}
    rewards = {name: _Fixed([1.0, 1.0], weight) for name, weight in weights.items()}
    group = group_of(response(7), response(8))
    for order in (rewards, dict(reversed(rewards.items()))):
        assert [score.reward for score in Rubric(order, Think()).score(group, step=0)] == [1.7, 1.7]


def test_importing_the_room_makes_its_strategies_known():
    assert {"Accuracy", "Bonus", "Format"} <= members("reward").keys()
    assert {"Free", "Observe", "Think"} <= members("format").keys()
