import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from observer.answering import DEFAULT_REWARDS
from observer.objective import (
    ComponentWeights,
    Constant,
    Cosine,
    GroupMean,
    GroupMeanStd,
    Linear,
    Quadratic,
    Uniform,
    Weighting,
    weigh,
)
from observer.rewards import Accuracy, Bonus, Format, Observe, Rubric
from observer.types import Completion, Group, Problem, Prompt, RefusedError, Sampling, Turn
from scored import RIGHT as CORRECT
from scored import WRONG as INCORRECT
from scored import estimated, score
from tables import holds_for

FEW = settings(max_examples=60, deadline=None)
RIGHT, WRONG = (f"<observe>o</observe><think>t</think><answer>{n}</answer>" for n in (7, 8))
BARE = "The answer is 7."  # no format, so no answer is found in it


def group(*responses):
    """A group of responses to a problem whose answer is 7: (text, tokens[, finish reason])."""
    completions = tuple(
        Completion((0,) * tokens, (0.0,) * tokens, text, *(finish or ["stop"]), index)
        for index, (text, tokens, *finish) in enumerate(responses)
    )
    problem = Problem("a", 0, (Turn("user", "What is 3 + 4?"),), "7", "integer")
    return Group(Prompt(problem, (1,)), completions, Sampling(group_size=len(responses)))


def weighed(groups, bonus=None, advantage=None, weighting=None, rewards=None):
    """The experience of groups, scored by the real rubric."""
    rewards = rewards or {"accuracy": Accuracy(), "format": Format(), "bonus": bonus or Bonus()}
    rubric = Rubric(rewards, Observe())
    scores = [rubric.score(group, step=0) for group in groups]
    components = ComponentWeights(rubric.weights, rubric.accuracy)
    return weigh(groups, scores, components, advantage or GroupMeanStd(), weighting or Uniform())


def by_hand(rewards_P_G, scale):
    """Advantages in plain Python; equal rewards give 0."""
    rows = []
    for row in rewards_P_G.tolist():
        mean = math.fsum(row) / len(row)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in row) / (len(row) - 1))
        divisor = spread + 1e-9 if scale else 1.0
        rows.append([0.0 if max(row) - min(row) < 1e-9 else (value - mean) / divisor for value in row])
    return np.array(rows)


def matrices(low, high):
    shapes = st.tuples(st.integers(1, 4), st.integers(2, 9))
    return npst.arrays(np.float64, shapes, elements=st.floats(low, high))


# Advantages


@FEW
@given(rewards_P_G=matrices(-2, 2))
def test_advantages_are_rewards_less_the_mean_of_the_group_over_its_spread(rewards_P_G):
    spreads_P = np.ptp(rewards_P_G, axis=1)
    assume(not ((spreads_P > 1e-10) & (spreads_P < 1e-7)).any())
    for advantage, scale in ((GroupMean(), False), (GroupMeanStd(), True)):
        found_P_G = advantage(torch.from_numpy(rewards_P_G)).numpy()
        np.testing.assert_allclose(found_P_G, by_hand(rewards_P_G, scale), rtol=1e-6, atol=1e-9)
        assert abs(found_P_G.sum(1)).max() < 1e-6


@holds_for("advantage", [GroupMean(), GroupMeanStd()])
@holds_for("reward", [0.1, 0.7, 1.2])
@holds_for("dtype", [torch.float64, torch.float32])
def test_equal_rewards_have_an_advantage_of_exactly_0(advantage, reward, dtype):
    """Whatever their rounding, which a scale of nearly 0 would blow up."""
    rewards_P_G = torch.tensor([[reward] * 8, [reward] * 7 + [reward + 1.0]], dtype=dtype)
    advantages_P_G = advantage(rewards_P_G)
    assert not advantages_P_G[0].any()
    assert advantages_P_G[1].all()


def test_rewards_that_differ_by_rounding_only_are_equal():
    summed = [0.1 + 0.2, 0.3] * 4
    assert summed[0] != summed[1]
    assert not GroupMeanStd()(torch.tensor([summed], dtype=torch.float64)).any()


def test_a_group_is_normalised_by_itself():
    rewards_P_G = torch.tensor([[1.0, 0.0, 0.0], [9.0, 9.0, 3.0]], dtype=torch.float64)
    for advantage in (GroupMean(), GroupMeanStd()):
        for place in range(2):
            torch.testing.assert_close(
                advantage(rewards_P_G)[place], advantage(rewards_P_G[place : place + 1])[0]
            )


# Weightings


@FEW
@given(right=st.lists(st.integers(0, 8), min_size=1, max_size=9), sigma=st.floats(0.01, 10))
def test_weights_follow_their_formula_and_are_never_negative(right, sigma):
    batch = estimated([[score(CORRECT)] * k + [score(INCORRECT)] * (8 - k) for k in right])
    weights_P = Quadratic(sigma=sigma)(batch).numpy()
    np.testing.assert_allclose(weights_P, [4 * sigma * k / 8 * (8 - k) / 8 for k in right], rtol=1e-12)
    assert (weights_P >= 0).all()
    assert weights_P.max(initial=0) <= sigma * (1 + 1e-12)
    assert Uniform()(batch).tolist() == [1.0] * len(right)


@holds_for("after", [True, False])
@holds_for("weight", [0.2, 0.5, 1.0])
def test_the_pass_rate_is_counted_in_verdicts_whatever_the_bonus_adds_to_rewards(weight, after):
    groups = [group(*[(RIGHT, 150 + i) for i in range(k)], *[(WRONG, 150)] * (8 - k)) for k in range(9)]
    bonus = Bonus(weight=weight, min_tokens=100, after_normalisation=after)
    experience = weighed(groups, bonus, weighting=Quadratic())
    assert experience.pass_rates_P.tolist() == [k / 8 for k in range(9)]
    assert experience.weights_P_G.min() == 0
    if not after:
        assert experience.rewards_P_G[8].max() == 1.5 + weight  # it did join the reward


class Sloping(Weighting):
    """1.2 - 2 p: negative for easy groups."""

    def __call__(self, batch):
        return 1.2 - 2 * batch.pass_rates_P


class Dividing(Weighting):
    """1 / p: infinite for a group that is all wrong."""

    def __call__(self, batch):
        return 1 / batch.pass_rates_P


class Lengths(Weighting):
    """Tokens of each group, or completion."""

    def __init__(self, by_completion=False):
        self.by_completion = by_completion

    def __call__(self, batch):
        rows = [[len(completion.ids) for completion in group.completions] for group in batch.groups]
        lengths_P_G = torch.tensor(rows, dtype=torch.float64)
        return lengths_P_G if self.by_completion else lengths_P_G.sum(-1)


@holds_for(("weighting", "right"), [(Sloping(), 8), (Dividing(), 0)])
def test_a_negative_or_infinite_weight_is_refused_by_the_name_of_its_weighting(weighting, right):
    groups = [group(*[(RIGHT, 9)] * right, *[(WRONG, 9)] * (8 - right)), group(*[(RIGHT, 9), (WRONG, 9)] * 4)]
    with pytest.raises(
        ValueError, match=rf"{type(weighting).__name__} gave weights \[.*must be finite and >= 0"
    ):
        weighed(groups, weighting=weighting)


def test_a_weighting_sees_the_groups_and_weighs_them_or_their_completions():
    groups = [group((RIGHT, 3), (WRONG, 4)), group((RIGHT, 5), (WRONG, 1))]
    assert weighed(groups, weighting=Lengths()).weights_P_G.tolist() == [[7.0, 7.0], [6.0, 6.0]]
    each = weighed(groups, weighting=Lengths(by_completion=True))
    assert each.weights_P_G.tolist() == [[3.0, 4.0], [5.0, 1.0]]
    bonus_P_G = torch.tensor([[0.2, 0.0]] * 2, dtype=torch.float64)
    torch.testing.assert_close(each.advantages_P_G, each.weights_P_G * (each.estimates_P_G + bonus_P_G))


def test_weights_that_are_not_one_a_group_or_completion_are_refused():
    class Scalar(Weighting):
        """One for all."""

        def __call__(self, batch):
            return torch.ones(1, dtype=torch.float64)

    groups = [group((RIGHT, 3), (WRONG, 4), (WRONG, 4))] * 2
    with pytest.raises(
        ValueError, match=r"Scalar gave weights of shape \(1,\) for 2 groups of 3 completions"
    ):
        weighed(groups, weighting=Scalar())


# From scores to what a completion is worth


responses = st.tuples(
    st.sampled_from([RIGHT, WRONG, BARE, ""]), st.integers(1, 300), st.sampled_from(["stop", "length"])
)


@FEW
@given(
    drawn=st.lists(st.lists(responses, min_size=4, max_size=4), min_size=1, max_size=3),
    floor=st.sampled_from([0, 100]),
    after=st.booleans(),
)
def test_an_advantage_is_the_weight_times_the_normalised_reward_plus_bonus(drawn, floor, after):
    groups = [group(*row) for row in drawn]
    experience = weighed(
        groups, Bonus(min_tokens=floor, after_normalisation=after), weighting=Quadratic(sigma=1.8)
    )
    for place, row in enumerate(drawn):
        lengths = [n for text, n, finish in row if text == RIGHT and finish == "stop" and n > floor]
        share = [
            0.2 / lengths.count(min(lengths))
            if text == RIGHT and finish == "stop" and lengths and n == min(lengths)
            else 0.0
            for text, n, finish in row
        ]
        rewards = [1.0 * (text == RIGHT) + 0.5 * (text in (RIGHT, WRONG)) for text, _, _ in row]
        if not after:
            rewards = [reward + extra for reward, extra in zip(rewards, share, strict=True)]
        p = sum(text == RIGHT for text, _, _ in row) / 4
        advantages = by_hand(np.array([rewards]), scale=True)[0] + (share if after else np.zeros(4))
        found = experience.advantages_P_G[place].numpy()
        np.testing.assert_allclose(found, 7.2 * p * (1 - p) * advantages, rtol=1e-6, atol=1e-12)


def test_a_group_without_a_correct_response_gets_no_bonus():
    """Its first response does not win for want of a shortest right one."""
    for rewards in (DEFAULT_REWARDS, DEFAULT_REWARDS | {"bonus": Bonus(min_tokens=100)}):
        experience = weighed([group(*[(WRONG, 150)] * 8)], rewards=rewards)
        assert [score.bonus for score in experience.scores[0]] == [0.0] * 8
        assert not experience.advantages_P_G.any()


def test_the_default_bonus_leaves_the_rewards_that_are_normalised_alone():
    experience = weighed(
        [group((RIGHT, 120), (RIGHT, 150), (WRONG, 90), (BARE, 90))], rewards=DEFAULT_REWARDS
    )
    assert experience.rewards_P_G.tolist() == [[1.5, 1.5, 0.5, 0.0]]
    assert [score.bonus for score in experience.scores[0]] == [0.2, 0.0, 0.0, 0.0]


def test_the_default_bonus_looks_for_the_shortest_that_is_long_enough():
    rows = [group((RIGHT, 90), (RIGHT, 150), (RIGHT, 200), (WRONG, 120))]
    shares = {
        constraint: [
            s.components["bonus"] for s in weighed(rows, Bonus(0.2, 100, constraint=constraint)).scores[0]
        ]
        for constraint in ("eligible", "shortest")
    }
    assert shares == {"eligible": [0.0, 1.0, 0.0, 0.0], "shortest": [0.0] * 4}


def test_only_finished_formatted_right_responses_win_the_bonus_and_ties_share_it():
    rows = [group((BARE, 10), (RIGHT, 20, "length"), (WRONG, 30), (RIGHT, 40), (RIGHT, 40), (RIGHT, 50))]
    scores = weighed(rows).scores[0]
    assert [score.bonus for score in scores] == [0.0, 0.0, 0.0, 0.1, 0.1, 0.0]
    assert scores[1].correct  # cut off after its answer: right, and yet no winner


def test_the_default_bonus_stays_small_in_a_group_that_is_all_right():
    rows = [group(*[(RIGHT, 120 + i) for i in range(8)])]
    uniform = weighed(rows, rewards=DEFAULT_REWARDS, weighting=Uniform())
    assert uniform.advantages_P_G.tolist() == [[0.2] + [0.0] * 7]
    quadratic = weighed(rows, rewards=DEFAULT_REWARDS, weighting=Quadratic())
    assert not quadratic.advantages_P_G.any()
    released = weighed(rows, Bonus(after_normalisation=False), weighting=Uniform())
    assert float(released.advantages_P_G[0, 0]) == pytest.approx(2.475, abs=1e-3)  # what it guards against


# Learning rates


@FEW
@given(warmup=st.integers(0, 20), total=st.integers(1, 60), final=st.floats(0, 1), step=st.integers(0, 80))
def test_learning_rates_warm_up_on_a_line_and_fall_to_their_final_ratio(warmup, total, final, step):
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    down = {"Linear": 1 - share, "Cosine": 0.5 * (1 + math.cos(math.pi * share))}
    for kind in (Linear, Cosine):
        expected = (step + 1) / warmup if step < warmup else final + (1 - final) * down[kind.__name__]
        assert kind(warmup, final).factor(step, total) == pytest.approx(expected)
    assert Constant(warmup).factor(step, total) == pytest.approx(min(1.0, (step + 1) / max(1, warmup)))


@holds_for("kind", [Constant, Linear, Cosine])
def test_no_step_of_a_learning_rate_is_0_before_the_end_or_above_1(kind):
    factors = [kind(warmup_steps=5).factor(step, 20) for step in range(20)]
    assert factors.index(1.0) == 4
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:5] == sorted(factors[:5])
    assert factors[4:] == sorted(factors[4:], reverse=True)


# Parameters


@holds_for(
    ("build", "message"),
    [
        (lambda: GroupMeanStd(eps=0.0), "GroupMeanStd.eps is 0.0; it must be > 0 and finite"),
        (lambda: GroupMeanStd(eps=math.nan), "GroupMeanStd.eps is nan; it must be > 0"),
        (lambda: Quadratic(sigma=-1.8), "Quadratic.sigma is -1.8; it must be > 0 and finite"),
        (lambda: Quadratic(sigma=math.inf), "Quadratic.sigma is inf; it must be > 0 and finite"),
        (lambda: Constant(warmup_steps=-1), "Constant.warmup_steps is -1; it must be >= 0"),
        (lambda: Cosine(warmup_steps=-1), "Cosine.warmup_steps is -1; it must be >= 0"),
        (lambda: Linear(final_ratio=1.5), "Linear.final_ratio is 1.5; it must be in [0, 1]"),
        (lambda: Cosine(final_ratio=math.nan), "Cosine.final_ratio is nan; it must be in [0, 1]"),
    ],
)
def test_impossible_parameters_are_refused_with_value_and_range(build, message):
    with pytest.raises(RefusedError) as caught:
        build()
    assert message in str(caught.value)
