import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from observer import strategies
from observer.objective import (
    BatchMeanStd,
    ComponentWeights,
    GroupMean,
    GroupMeanBatchStd,
    GroupMeanMad,
    GroupMeanStd,
    Quadratic,
    Uniform,
)
from observer.types import RefusedError
from scored import COMPONENTS, RIGHT, WRONG, on_two_ranks, rows, score, weighed
from tables import holds_for

FEW = settings(max_examples=60, deadline=None)
GROUP_BASELINES = [
    GroupMean(),
    GroupMean(leave_one_out=True),
    GroupMeanStd(),
    GroupMeanMad(),
    GroupMeanBatchStd(),
    GroupMeanBatchStd(of="raw"),
]
ALL = [*GROUP_BASELINES, BatchMeanStd()]
COMBINES = ("sum_then_normalise", "normalise_then_sum")


def by_hand(advantage, rewards_P_G):
    """Each estimator of the papers, by loops over floats."""
    batch = [value for row in rewards_P_G for value in row]
    centred = [[value - math.fsum(row) / len(row) for value in row] for row in rewards_P_G]
    if isinstance(advantage, BatchMeanStd):
        mean = math.fsum(batch) / len(batch)
        return [[(value - mean) / (deviation(batch) + 1e-9) for value in row] for row in rewards_P_G]
    if advantage == GroupMean(leave_one_out=True):
        return [
            [value - math.fsum(row[:i] + row[i + 1 :]) / (len(row) - 1) for i, value in enumerate(row)]
            for row in rewards_P_G
        ]
    scales = {
        GroupMean(): [1.0] * len(centred),
        GroupMeanStd(): [deviation(row) + 1e-9 for row in rewards_P_G],
        GroupMeanMad(): [math.fsum(map(abs, row)) / len(row) + 1e-9 for row in centred],
        GroupMeanBatchStd(): [deviation([v for row in centred for v in row]) + 1e-9] * len(centred),
        GroupMeanBatchStd(of="raw"): [deviation(batch) + 1e-9] * len(centred),
    }[advantage]
    return [[value / scale for value in row] for row, scale in zip(centred, scales, strict=True)]


def deviation(values):
    """With n - 1."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def matrices(groups=st.integers(1, 4), sizes=st.integers(2, 9)):
    """Rewards of groups; some of them are equal throughout."""
    drawn = npst.arrays(np.float64, st.tuples(groups, sizes), elements=st.floats(-2, 2))
    equal = drawn.map(lambda values: np.where(values[:, :1] > 0, values[:, :1], values))
    return (drawn | equal).filter(clear)


def clear(rewards_P_G):
    """Whether no group and no batch is on the edge of being equal, where a formula says nothing."""
    spans = [np.ptp(rewards_P_G), *np.ptp(rewards_P_G, axis=1)]
    return not any(0 < span < 1e-3 for span in spans)


# Formulas


@FEW
@given(rewards_P_G=matrices())
def test_estimators_follow_their_formulas(rewards_P_G):
    for advantage in ALL:
        found_P_G = advantage(torch.from_numpy(rewards_P_G)).numpy()
        expected_P_G = np.array(by_hand(advantage, rewards_P_G.tolist()))
        # By hand, equal rewards are centred to what is left of rounding, and a scale of 1e-9 blows it up.
        equal_P = np.ptp(rewards_P_G, axis=1) == 0
        if isinstance(advantage, BatchMeanStd):
            equal_P[:] = np.ptp(rewards_P_G) == 0
        expected_P_G[equal_P] = 0
        np.testing.assert_allclose(found_P_G, expected_P_G, rtol=1e-6, atol=1e-9, err_msg=str(advantage))
        assert abs(found_P_G.sum()) < 1e-6, advantage


@FEW
@given(rewards_P_G=matrices(), value=st.sampled_from([0.1, 0.7, 1.2, -1 / 3, 0.0]))
def test_a_group_of_equal_rewards_has_exactly_0_beside_any_others(rewards_P_G, value):
    """The mean of equal rewards may differ from them by a rounding; their advantages do not show it."""
    row = np.full((1, rewards_P_G.shape[1]), value)
    beside = torch.from_numpy(np.concatenate([rewards_P_G, row]))
    assert [advantage for advantage in GROUP_BASELINES if advantage(beside)[-1].any()] == []


@holds_for("advantage", ALL)
@holds_for("value", [0.1, 0.7, 1.2])
def test_a_batch_of_equal_rewards_has_exactly_0(advantage, value):
    """Rewards that differ by a rounding only count as equal."""
    rounding = torch.tensor([[0.1 + 0.2, 0.3] * 4], dtype=torch.float64)
    for rewards_P_G in (torch.full((3, 8), value, dtype=torch.float64), rounding):
        assert not advantage(rewards_P_G).any()


def test_with_the_batch_as_baseline_a_group_of_equal_rewards_has_a_say():
    advantages_P_G = BatchMeanStd()(torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
    assert advantages_P_G.sign().tolist() == [[1, 1], [-1, -1], [1, -1]]


@holds_for("advantage", ALL)
def test_a_group_of_one_has_no_advantage_unless_the_batch_is_the_baseline(advantage):
    values = advantage(torch.tensor([[0.3], [1.3]], dtype=torch.float64)).flatten().tolist()
    expected = [-(0.5**0.5), 0.5**0.5] if isinstance(advantage, BatchMeanStd) else [0.0, 0.0]
    assert values == pytest.approx(expected)
    assert advantage(torch.tensor([[0.3]], dtype=torch.float64)).tolist() == [[0.0]]


@FEW
@given(rewards_P_G=matrices(), data=st.data(), factor=st.floats(0.1, 10), shift=st.floats(-3, 3))
def test_centring_is_linear_and_a_scale_takes_out_the_unit(rewards_P_G, data, factor, shift):
    values = torch.from_numpy(rewards_P_G)
    shape = st.just(rewards_P_G.shape[0]), st.just(rewards_P_G.shape[1])
    other = torch.from_numpy(data.draw(matrices(*shape)))
    assume(clear((values + other).numpy()))
    for advantage in ALL:
        parts = advantage.centred(values) + advantage.centred(other)
        torch.testing.assert_close(
            parts, advantage.centred(values + other), rtol=0, atol=1e-12, msg=str(advantage)
        )
        scaled = 1.0 if isinstance(advantage, GroupMean) else factor
        changed, plain = advantage(factor * values + shift) * scaled, advantage(values) * factor
        torch.testing.assert_close(changed, plain, rtol=1e-3, atol=1e-6, msg=str(advantage))


@FEW
@given(rewards_P_G=matrices())
def test_all_groups_that_differ_push_equally_hard_with_the_mean_absolute_deviation(rewards_P_G):
    sums = GroupMeanMad()(torch.from_numpy(rewards_P_G)).abs().sum(-1).tolist()
    size = rewards_P_G.shape[1]
    expected = [size if np.ptp(row) > 0 else 0.0 for row in rewards_P_G]
    assert sums == pytest.approx(expected, rel=1e-3)


# Rewards of several kinds


def joined_by_hand(scores, advantage, combine):
    """Estimates and the share of accuracy, written from the text: GDPO is arXiv 2601.05242."""

    def table(name):
        return [[each.filled[name] for each in row] for row in scores]

    def exact(values):
        return advantage(torch.tensor(values, dtype=torch.float64)).numpy()

    weights = {name: weight for name, weight in COMPONENTS.weights.items()}
    if combine == "sum_then_normalise":
        rewards = np.array([[each.reward for each in row] for row in scores])
        accuracy = torch.tensor(table("accuracy"), dtype=torch.float64)
        scale = advantage.scale(torch.from_numpy(rewards))
        return exact(rewards.tolist()), (advantage.centred(accuracy) / scale).numpy()
    alone = {name: weight * exact(table(name)) for name, weight in weights.items()}
    sums = sum(alone.values())
    spread = sums.std(ddof=1) + 1e-9
    return (sums - sums.mean()) / spread, alone["accuracy"] / spread


@pytest.mark.parametrize("combine", COMBINES)
@FEW
@given(scores=rows())
def test_shares_of_accuracy_and_of_all_others_add_up_to_the_estimate(combine, scores):
    for advantage in ALL:
        estimates, accuracy = joined_by_hand(scores, advantage, combine)
        if not ((abs(estimates) > 0) & (abs(estimates) < 1e-7)).any():
            assert_shares_add_up(scores, advantage, combine, estimates, accuracy)


def assert_shares_add_up(scores, advantage, combine, estimates, accuracy):
    whole = weighed(scores, advantage, Uniform(), combine)
    np.testing.assert_allclose(whole.estimates_P_G, estimates, rtol=1e-6, atol=1e-9, err_msg=str(advantage))
    alone = weighed(scores, advantage, Uniform(apply_to="accuracy"), combine)
    assert alone.advantages_P_G.tolist() == whole.advantages_P_G.tolist(), advantage  # to the last bit
    accuracy[(estimates == 0).all(-1)] = 0
    found = weighed(scores, advantage, Quadratic(apply_to="accuracy"), combine)
    p = np.array([[sum(each.correct for each in row) / len(row)] for row in scores])
    bonus = np.array([[each.bonus for each in row] for row in scores])
    expected = 7.2 * p * (1 - p) * (accuracy + bonus) + estimates - accuracy
    np.testing.assert_allclose(found.advantages_P_G, expected, rtol=1e-6, atol=1e-8, err_msg=str(advantage))


@holds_for("combine", COMBINES)
def test_rewards_that_cancel_each_other_out_leave_nothing_to_weigh(combine):
    components = ComponentWeights({"accuracy": 1.0, "format": 1.0}, {"accuracy"})
    row = [
        score_of({"accuracy": a, "format": b})
        for a, b in ((0.7, 0.1), (0.1, 0.7), (0.1 + 0.2, 0.5), (0.3, 0.5))
    ]
    found = weighed([row], GroupMeanStd(), Quadratic(apply_to="accuracy"), combine, components=components)
    assert not found.advantages_P_G.any()


def score_of(components):
    scored = score(RIGHT if components["accuracy"] > 0.5 else WRONG)
    return type(scored)(scored.verdict, "", "7", True, components, components, math.fsum(components.values()))


def test_rewards_for_accuracy_alone_are_all_share():
    components = ComponentWeights({"accuracy": 0.3, "format": 0.0}, {"accuracy"})
    row = [
        type(each)(
            each.verdict, "", "7", True, each.components, each.filled, 0.3 * each.components["accuracy"]
        )
        for each in map(score, [RIGHT, WRONG, WRONG])
    ]
    for combine in COMBINES:
        found = weighed(
            [row], GroupMeanStd(), Quadratic(sigma=0.5, apply_to="accuracy"), combine, components=components
        )
        expected = weighed([row], GroupMeanStd(), Quadratic(sigma=0.5), combine, components=components)
        torch.testing.assert_close(found.advantages_P_G, expected.advantages_P_G, rtol=1e-12, atol=0)


def test_one_reward_is_normalised_once_however_rewards_are_combined():
    components = ComponentWeights({"accuracy": 1.0, "format": 0.0}, {"accuracy"})
    scores = [[score(verdict, formatted=False) for verdict in (RIGHT, WRONG, WRONG, WRONG)]] * 2
    found = [
        weighed(scores, GroupMeanStd(), Uniform(), combine, components=components) for combine in COMBINES
    ]
    assert found[0].advantages_P_G.tolist() == found[1].advantages_P_G.tolist()


def test_a_reward_of_a_wide_range_does_not_drown_one_of_a_small():
    components = ComponentWeights({"accuracy": 1.0, "length": 1.0}, {"accuracy"})
    row = [
        score_of({"accuracy": accuracy, "length": length})
        for accuracy, length in ((1.0, 0.0), (0.0, 90.0), (1.0, 60.0), (0.0, 0.0))
    ]
    summed, alone = (
        weighed([row], GroupMeanStd(), Uniform(), combine, components=components).estimates_P_G[0]
        for combine in COMBINES
    )
    assert summed[0] < summed[1]
    assert alone[0] > alone[3]
    assert float(alone.std()) == pytest.approx(1)


@pytest.mark.parametrize("combine", COMBINES)
@settings(max_examples=20, deadline=None)
@given(scores=rows().filter(lambda scores: len(scores) % 2 == 0))
def test_two_ranks_estimate_what_one_does(combine, scores):
    weighting = Quadratic(normalise=True, apply_to="accuracy")
    for advantage in ALL:
        one = weighed(scores, advantage, weighting, combine)
        two = on_two_ranks(scores, advantage, weighting, combine)
        for name in ("estimates_P_G", "weights_P_G", "advantages_P_G"):
            joined = torch.cat([getattr(rank, name) for rank in two])
            assert joined.tolist() == getattr(one, name).tolist(), (advantage, name)


# Parameters and registry


@holds_for("strategy", [GroupMeanStd, GroupMeanMad, GroupMeanBatchStd, BatchMeanStd])
@holds_for("eps", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_eps_is_refused(strategy, eps):
    with pytest.raises(RefusedError, match=rf"{strategy.__name__}.eps is {eps}; it must be > 0 and finite"):
        strategy(eps=eps)


def test_an_unknown_spread_is_refused():
    with pytest.raises(RefusedError, match=r"GroupMeanBatchStd.of is 'group'; give one of centred, raw"):
        GroupMeanBatchStd(of="group")


def test_the_registry_lists_all_with_their_formula():
    ours = {
        name: strategy
        for name, strategy in strategies.members("advantage").items()
        if strategy.__module__.startswith("observer.")
    }
    assert ours.keys() == {type(advantage).__name__ for advantage in ALL}
    assert all(strategies.summary(strategy).startswith("A_i = ") for strategy in ours.values())
