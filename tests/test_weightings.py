import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer import strategies
from observer.objective import (
    AnswerDiversity,
    AnswerEntropy,
    BatchMeanStd,
    Disco,
    GroupMean,
    GroupMeanStd,
    Logistic,
    Quadratic,
    RewardRange,
    StageWave,
    Uniform,
    Weighting,
)
from observer.types import RefusedError
from scored import RIGHT, UNVERIFIABLE, WRONG, estimated, on_two_ranks, rows, score, weighed
from tables import holds_for

FEW = settings(max_examples=60, deadline=None)
SHARES = {"algebra": 0.75, "geometry": 1 / 12}
GEOMETRY = {"domain": "geometry"}
ALL = [
    Uniform(),
    Quadratic(),
    Logistic(),
    *map(StageWave, ("easy", "medium", "hard")),
    Disco(),
    Disco(shares=SHARES, cap=3.0),
    RewardRange(range=1.5),
    AnswerDiversity(),
    AnswerDiversity(diversity="entropy"),
    AnswerEntropy(),
]


def pass_rate(row):
    return sum(each.verdict is RIGHT for each in row) / len(row)


def answers(row):
    """How often each answer is given: right ones are one, none is one, others are told apart by text."""

    def told(each):
        if each.verdict is RIGHT:
            return "right"
        return "none" if each.extracted is None else f"text {each.extracted.strip().lower()}"

    return Counter(map(told, row))


def entropy(row):
    return -math.fsum(n / len(row) * math.log(n / len(row)) for n in answers(row).values())


def half_wave(stage, p):
    """The pieces of VL-Cogito's three stages."""
    if p == 0:
        return 0.25 if stage == "hard" else 0.0
    flat = {"easy": p > 0.5, "medium": False, "hard": p <= 0.5}[stage]
    return 1.0 if flat else math.sin(math.pi * p)


def by_hand(weighting, row, estimates):
    """The weights in a group of 4 about geometry with 3 options, by the papers' formulas."""
    p = pass_rate(row)
    if isinstance(weighting, Logistic):

        def w(x):
            return 0.4 + (1.5 - 0.4) / (1 + math.exp(10 * (x - 0.75)))

        return [w(p) if estimate > 0 else w(1 - p) for estimate in estimates]
    rewards = [each.reward for each in row]
    if isinstance(weighting, StageWave):
        weight = half_wave(weighting.stage, p)
    elif isinstance(weighting, Disco):
        domain = math.log(1 + 12) if weighting.shares else 1.0
        weight = min(weighting.cap or 4, 1 / (p + 1e-5)) * domain
    elif isinstance(weighting, AnswerDiversity):
        kinds = len(answers(row))
        diversity = (kinds - 1) / 3 if weighting.diversity == "distinct" else entropy(row) / math.log(3)
        weight = 4 * p * (1 - p) * math.sqrt(min(1, max(0, diversity)))
    else:
        weight = {
            Uniform: lambda: 1.0,
            Quadratic: lambda: 4 * 1.8 * p * (1 - p),
            RewardRange: lambda: min(1.0, (max(rewards) - min(rewards)) / 1.5),
            AnswerEntropy: lambda: 1 - 0.5 * entropy(row) / math.log(4),
        }[type(weighting)]()
    return [weight] * len(row)


# Formulas


@pytest.mark.parametrize("weighting", ALL, ids=str)
@FEW
@given(scores=rows(), finish=st.sampled_from(["stop", "length"]))
def test_a_weighting_follows_its_formula_and_is_never_negative(weighting, scores, finish):
    batch = estimated(scores, metadata=GEOMETRY, options=("red", "7", "8"), finish=finish)
    weights = weighting(batch)
    found_P_G = (weights if weights.dim() == 2 else weights[:, None]).expand(len(scores), 4).numpy()
    expected = [by_hand(weighting, *pair) for pair in zip(scores, batch.estimates_P_G.tolist(), strict=True)]
    np.testing.assert_allclose(found_P_G, expected, rtol=1e-9, atol=1e-9)
    assert weights.dtype == torch.float64
    assert (found_P_G >= 0).all()
    assert np.isfinite(found_P_G).all()


@holds_for("weighting", ALL)
@holds_for("verdict", [RIGHT, WRONG, UNVERIFIABLE])
def test_groups_of_one_and_groups_that_are_all_alike_have_a_weight(weighting, verdict):
    for size in (1, 5):
        found = weighed([[score(verdict)] * size], GroupMeanStd(), weighting, metadata=GEOMETRY)
        assert (found.weights_P_G >= 0).all()
        assert not found.advantages_P_G.any()


def test_the_logistic_is_that_of_the_authors_at_its_corners():
    x = torch.tensor([0.0, 0.5, 0.75, 1.0], dtype=torch.float64)
    assert Logistic().of(x).tolist() == pytest.approx([1.4994, 1.4166, 0.95, 0.4834], abs=1e-4)


def test_a_rare_right_answer_and_a_rare_wrong_one_weigh_most():
    hard, easy = [RIGHT, *[WRONG] * 7], [WRONG, *[RIGHT] * 7]
    batch = estimated([[score(verdict) for verdict in row] for row in (hard, easy)])
    for first, *others in Logistic()(batch).tolist():
        assert first > 1.49
        assert max(others) < 0.8


def test_a_group_that_is_all_right_weighs_exactly_0_where_the_wave_ends():
    assert StageWave("medium").of(torch.ones(1, dtype=torch.float64)).tolist() == [0.0]


def test_a_group_that_is_all_wrong_weighs_what_is_asked_for():
    for stage in ("easy", "medium", "hard"):
        for value in (0.0, 0.7):
            weights_P = StageWave(stage, all_wrong=value).of(torch.tensor([0.0, 0.5], dtype=torch.float64))
            assert weights_P.tolist() == [value, 1.0]


def test_the_domain_factors_are_those_of_the_authors_code():
    factors = [
        Disco(shares=SHARES)(estimated([[score(RIGHT)] * 2], metadata={"domain": domain})).item()
        for domain in SHARES
    ]
    assert factors == pytest.approx([0.847, 2.565], abs=1e-3)


@holds_for("metadata", [{}, {"domain": "topology"}, {"topic": "algebra"}])
def test_a_row_of_an_unknown_domain_is_refused_by_its_id(metadata):
    with pytest.raises(RefusedError, match=r"row row-7 has domain .* share of algebra, geometry; add it"):
        Disco(shares=SHARES)(estimated([[score(RIGHT)]], metadata=metadata))
    assert Disco()(estimated([[score(RIGHT)]], metadata=metadata)).item() == pytest.approx(1, abs=1e-4)


def test_a_domain_may_be_named_by_another_key_and_need_not_be_text():
    weighting = Disco(shares={"3": 0.5}, domain_key="level")
    weight = weighting(estimated([[score(RIGHT)]], metadata={"level": 3})).item()
    assert weight == pytest.approx(math.log(3), abs=1e-4)


def test_answers_are_told_apart_by_text_but_for_right_ones():
    row = [
        score(RIGHT, "0.5"),
        score(RIGHT, "1/2"),
        score(WRONG, " RED"),
        score(WRONG, "red"),
        score(WRONG, None),
    ]
    batch = estimated([row])
    assert AnswerDiversity(gamma=1.0)(batch).item() == pytest.approx(4 * 0.4 * 0.6 * 2 / 4)
    nothing = estimated([[score(WRONG, ""), score(WRONG, None)]])  # an empty answer is not none
    assert AnswerEntropy(alpha=1.0)(nothing).item() == 0


def test_diversity_without_known_options_is_measured_against_all_different():
    row = [score(RIGHT), score(WRONG, "8"), score(RIGHT), score(WRONG, "8")]
    weighting = AnswerDiversity(gamma=1.0, diversity="entropy")
    assert weighting(estimated([row])).item() == pytest.approx(0.5)
    assert weighting(estimated([row], options=("7", "8"))).item() == pytest.approx(1.0)
    strays = [score(RIGHT), score(WRONG, "8"), score(WRONG, "9"), score(WRONG, None)]
    assert weighting(estimated([strays], options=("7", "8"))).item() == pytest.approx(0.75)  # D is at most 1


def test_entropy_and_diversity_point_in_opposite_directions():
    same = [score(RIGHT), score(RIGHT), score(WRONG, "8"), score(WRONG, "8")]
    other = [score(RIGHT), score(RIGHT), score(WRONG, "8"), score(WRONG, "9")]
    batch = estimated([same, other])
    less, more = AnswerDiversity()(batch).tolist()
    assert less < more
    sure, unsure = AnswerEntropy()(batch).tolist()
    assert sure > unsure


# Bonus, signs and normalisation


@holds_for("weighting", ALL)
def test_a_bonus_changes_no_weight(weighting):
    without, with_bonus = (
        [[score(RIGHT, bonus=bonus), *[score(WRONG)] * 3], [score(RIGHT, bonus=bonus)] * 4]
        for bonus in (0.0, 5.0)
    )
    found = [weighed(s, GroupMeanStd(), weighting, metadata=GEOMETRY) for s in (without, with_bonus)]
    assert found[0].weights_P_G.tolist() == found[1].weights_P_G.tolist()
    assert found[1].pass_rates_P.tolist() == [0.25, 1.0]


@holds_for("weighting", ALL)
def test_a_weight_never_turns_an_advantage_round(weighting):
    scores = [[score(RIGHT)] * k + [score(WRONG)] * (8 - k) for k in range(9)]
    found = weighed(scores, GroupMeanStd(), weighting, metadata=GEOMETRY)
    signs = found.estimates_P_G.sign() * found.weights_P_G.sign()
    assert found.advantages_P_G.sign().tolist() == signs.tolist()


def test_a_bonus_in_a_group_that_is_all_right_stays_small_whatever_the_weight():
    row = [score(RIGHT, bonus=0.2), *[score(RIGHT)] * 7]
    for weighting in ALL:
        found = weighed([row], GroupMeanStd(), weighting, metadata=GEOMETRY)
        torch.testing.assert_close(found.advantages_P_G[0, 0], found.weights_P_G[0, 0] * 0.2)
        assert not found.advantages_P_G[0, 1:].any()


def test_a_range_of_rewards_undoes_the_blow_up_of_a_small_one():
    row = [score(RIGHT, length=-1.0), *[score(RIGHT)] * 7]  # a bonus of .2 before the normalisation
    blown, small = (
        weighed([row], GroupMeanStd(), w).advantages_P_G[0, 0] for w in (Uniform(), RewardRange(1.5))
    )
    assert float(blown) == pytest.approx(2.475, abs=1e-3)
    assert float(small) == pytest.approx(2.475 * 0.2 / 1.5, abs=1e-3)


@holds_for("apply_to", ["all", "accuracy"])
def test_a_group_of_weight_0_with_equal_rewards_is_exactly_0_so_that_it_can_be_dropped(apply_to):
    scores = [[score(verdict)] * 8 for verdict in (RIGHT, WRONG)]
    for weighting in (Quadratic(apply_to=apply_to), StageWave("medium", apply_to=apply_to)):
        assert not weighed(scores, GroupMeanStd(), weighting).advantages_P_G.any()
        # With the batch as baseline these groups differ, and their share of accuracy is taken away.
        assert not weighed(scores, BatchMeanStd(), weighting).advantages_P_G.any()


def test_a_weighting_of_all_keeps_a_wrong_group_from_learning_the_format_and_one_of_accuracy_does_not():
    row = [score(WRONG, formatted=formatted) for formatted in (True, True, False, False)]
    lost, kept = (weighed([row], GroupMeanStd(), Quadratic(apply_to=share)) for share in ("all", "accuracy"))
    assert not lost.advantages_P_G.any()
    assert kept.weights_P_G.tolist() == [[0.0] * 4]
    assert kept.advantages_P_G[0].tolist() == pytest.approx([0.866, 0.866, -0.866, -0.866], abs=1e-3)


@FEW
@given(scores=rows(most=6), sigma=st.floats(0.01, 100))
def test_normalised_weights_average_to_1_where_rewards_differ_and_forget_sigma(scores, sigma):
    one, other = (
        weighed(scores, GroupMeanStd(), Quadratic(s, normalise=True)).weights_P_G for s in (1.8, sigma)
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
    rewards = np.array([[each.reward for each in row] for row in scores])
    counted = one.numpy()[np.ptp(rewards, axis=1) >= 1e-9]
    assert counted.size == 0 or counted.max() == 0 or counted.mean() == pytest.approx(1)


@holds_for("weighting", ALL)
def test_normalisation_keeps_the_ratios_of_weights(weighting):
    scores = [[score(RIGHT)] * k + [score(WRONG)] * (8 - k) for k in range(9)]
    options = {name: getattr(weighting, name) for name in weighting.__dataclass_fields__}
    normalised = type(weighting)(**options | {"normalise": True})
    plain, divided = (
        weighed(scores, GroupMean(), each, metadata=GEOMETRY).weights_P_G for each in (weighting, normalised)
    )
    torch.testing.assert_close(divided * plain[1:8].mean(), plain)
    assert float(divided[1:8].mean()) == pytest.approx(1)


# Ranks


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("weighting", ALL, ids=str)
@settings(max_examples=15, deadline=None)
@given(scores=rows().filter(lambda scores: len(scores) % 2 == 0))
def test_two_ranks_weigh_as_one_does(weighting, normalise, scores):
    options = {name: getattr(weighting, name) for name in weighting.__dataclass_fields__}
    recipe = (GroupMeanStd(), type(weighting)(**options | {"normalise": normalise}))
    one = weighed(scores, *recipe, metadata=GEOMETRY)
    two = on_two_ranks(scores, *recipe, metadata=GEOMETRY)
    for name in ("weights_P_G", "advantages_P_G"):
        joined = torch.cat([getattr(rank, name) for rank in two])
        assert joined.tolist() == getattr(one, name).tolist()


# Parameters and registry


@holds_for(
    ("build", "message"),
    [
        (lambda: Uniform(apply_to="format"), "Uniform.apply_to is 'format'; it must be one of all, accuracy"),
        (lambda: Quadratic(sigma=0.0), "Quadratic.sigma is 0.0; it must be > 0 and finite (Uniform switches"),
        (lambda: Logistic(low=-0.1), "Logistic.low is -0.1; it must be in [0, high), and high is 1.5"),
        (lambda: Logistic(low=1.5), "Logistic.low is 1.5; it must be in [0, high)"),
        (lambda: Logistic(high=math.inf), "Logistic.high is inf; it must be > 0 and finite"),
        (lambda: Logistic(centre=1.1), "Logistic.centre is 1.1; it must be in [0, 1]"),
        (lambda: Logistic(slope=0.0), "Logistic.slope is 0.0; it must be > 0 and finite"),
        (lambda: StageWave("harder"), "StageWave.stage is 'harder'; it must be one of easy, medium, hard"),
        (
            lambda: StageWave(all_wrong=-0.1),
            "StageWave.all_wrong is -0.1; it must be >= 0 and finite, or null",
        ),
        (lambda: Disco(shares={"a": 0.0}), "Disco.shares is {'a': 0.0}; it must be of numbers in (0, 1]"),
        (lambda: Disco(shares={"a": 0.7, "b": 0.7}), "add up to at most 1, not 1.4"),
        (lambda: Disco(cap=0.0), "Disco.cap is 0.0; it must be > 0 and finite, or null"),
        (lambda: Disco(eps=0.0), "Disco.eps is 0.0; it must be > 0 and finite"),
        (lambda: RewardRange(range=0.0), "RewardRange.range is 0.0; it must be > 0 and finite"),
        (lambda: AnswerDiversity(sigma=math.nan), "AnswerDiversity.sigma is nan; it must be > 0 and finite"),
        (lambda: AnswerDiversity(gamma=-1.0), "AnswerDiversity.gamma is -1.0; it must be >= 0 and finite"),
        (lambda: AnswerDiversity(diversity="mad"), "it must be one of distinct, entropy"),
        (lambda: AnswerEntropy(alpha=0.0), "AnswerEntropy.alpha is 0.0; it must be in (0, 1]"),
        (lambda: AnswerEntropy(alpha=1.1), "AnswerEntropy.alpha is 1.1; it must be in (0, 1]"),
    ],
)
def test_impossible_parameters_are_refused_with_value_and_mend(build, message):
    with pytest.raises(RefusedError) as caught:
        build()
    assert message in str(caught.value)


def test_the_registry_lists_all_with_their_formula_and_what_they_share():
    ours = {
        name: strategy
        for name, strategy in strategies.members("weighting").items()
        if strategy.__module__.startswith("observer.")
    }
    assert ours.keys() == {"Permuted", *(type(weighting).__name__ for weighting in ALL)}
    for strategy in ours.values():
        assert issubclass(strategy, Weighting)
        assert strategies.summary(strategy).startswith(("f = ", "f(p) = ", "w(p) for "))
        assert {"normalise", "apply_to"} <= strategies.parameters(strategy).keys()
