"""``Permuted``: the weights of another weighting, dealt out anew among the groups with signal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from observer.objective import (
    BatchMeanStd,
    GroupMeanStd,
    Logistic,
    Permuted,
    Quadratic,
    Ranks,
    RewardRange,
    Uniform,
    weigh,
)
from observer.types import RefusedError
from scored import COMPONENTS, RIGHT, WRONG, estimated, group, on_two_ranks, rows, score, weighed

FEW = settings(max_examples=25, deadline=None)
WRAPPED = [
    Quadratic(),
    Quadratic(normalise=True),
    Quadratic(apply_to="accuracy"),
    Logistic(),
    Logistic(normalise=True, apply_to="accuracy"),
    RewardRange(range=1.5),
]
every = pytest.mark.parametrize("weighting", WRAPPED, ids=str)
LADDER = [[score(RIGHT)] * k + [score(WRONG)] * (8 - k) for k in range(9)]


def at_step(scores, weighting, step, seed=0, advantage=GroupMeanStd()):
    """The experience of scores at a step of a run."""
    groups = [group(len(row)) for row in scores]
    groups = [replace(one, sampling=replace(one.sampling, seed=seed, step=step)) for one in groups]
    return weigh(groups, scores, COMPONENTS, advantage, weighting, ranks=Ranks())


def lines(weights_P_G):
    return sorted(weights_P_G.tolist())


@every
@FEW
@given(scores=rows(most=8))
def test_the_weights_and_the_groups_that_learn_stay(weighting, scores):
    for advantage in (GroupMeanStd(), BatchMeanStd()):
        plain, dealt = (weighed(scores, advantage, each) for each in (weighting, Permuted(weighting)))
        assert lines(dealt.weights_P_G) == lines(plain.weights_P_G)
        assert dealt.estimates_P_G.tolist() == plain.estimates_P_G.tolist()
        if weighting.apply_to == "all":
            assert dealt.silent_P.tolist() == plain.silent_P.tolist()
            stay = plain.silent_P
            assert dealt.weights_P_G[stay].tolist() == plain.weights_P_G[stay].tolist()


@every
@FEW
@given(scores=rows(most=8).filter(lambda scores: len(scores) % 2 == 0))
def test_two_ranks_deal_as_one_does(weighting, scores):
    one = weighed(scores, GroupMeanStd(), Permuted(weighting))
    two = on_two_ranks(scores, GroupMeanStd(), Permuted(weighting))
    for name in ("weights_P_G", "advantages_P_G"):
        assert torch.cat([getattr(rank, name) for rank in two]).tolist() == getattr(one, name).tolist()


def test_seed_and_step_give_the_deal_and_nothing_else_does():
    weighting = Permuted(Quadratic())
    drawn = [
        at_step(LADDER, weighting, step, seed).weights_P_G[:, 0].tolist()
        for step in range(4)
        for seed in (0, 1)
    ]
    assert len({str(weights) for weights in drawn}) == 8
    before = torch.get_rng_state()
    torch.manual_seed(5)
    again = at_step(LADDER, weighting, 3, 1).weights_P_G[:, 0].tolist()
    torch.set_rng_state(before)
    assert again == drawn[-1]


def test_over_the_steps_every_weight_goes_to_every_group_equally_often():
    steps, live = 400, slice(1, 8)
    weights = [at_step(LADDER, Permuted(RewardRange(range=9.0)), step).weights_P_G[:, 0] for step in (0, 1)]
    assert weights[0].tolist() == weights[1].tolist(), "here all that are live weigh the same"
    columns = [at_step(LADDER, Permuted(Quadratic()), step).weights_P_G[:, 0] for step in range(steps)]
    means = torch.stack(columns).mean(0)
    own = Quadratic().of(torch.arange(9, dtype=torch.float64) / 8)
    error = float(own[live].std()) / steps**0.5
    assert means[[0, 8]].tolist() == [0.0, 0.0]
    assert (means[live] - own[live].mean()).abs().max() < 5 * error


def test_weights_of_completions_go_from_group_to_group_in_their_order():
    plain, dealt = (
        at_step(LADDER, weighting, 3).weights_P_G for weighting in (Logistic(), Permuted(Logistic()))
    )
    assert dealt.tolist() != plain.tolist()
    assert dealt[[0, 8]].tolist() == plain[[0, 8]].tolist(), "nobody learns from these"
    assert all(row in plain.tolist() for row in dealt.tolist())


def test_a_bonus_is_a_signal_where_the_weight_lets_it():
    scores = [[score(RIGHT, bonus=0.2), *[score(RIGHT)] * 3], [score(RIGHT), *[score(WRONG)] * 3]]
    found = {
        str(at_step(scores, Permuted(each), step).weights_P_G[0, 0].item())
        for each in (Quadratic(), Logistic())
        for step in range(20)
    }
    of_quadratic, *of_logistic = sorted(found)
    assert of_quadratic == "0.0", "all right: no weight, and none to gain"
    assert len(of_logistic) == 2


def test_normalised_weights_average_to_1_and_the_options_may_be_given_on_either():
    inner, outer = Permuted(Quadratic(normalise=True)), Permuted(Quadratic(), normalise=True)
    for weighting in (inner, outer):
        weights = at_step(LADDER, weighting, 1).weights_P_G
        assert float(weights[1:8].mean()) == pytest.approx(1)
    assert Permuted(Quadratic(apply_to="accuracy")).apply_to == "accuracy"
    assert Permuted(Quadratic(), apply_to="accuracy").apply_to == "accuracy"
    assert Permuted(Quadratic()).apply_to == "all"


def test_called_by_itself_it_deals_among_the_groups_that_it_is_given():
    batch = estimated(LADDER)
    found = Permuted(Quadratic())(batch)
    np.testing.assert_array_equal(found, weighed(LADDER, GroupMeanStd(), Permuted(Quadratic())).weights_P_G)


def test_what_is_dealt_out_already_is_refused():
    with pytest.raises(RefusedError, match=r"Permuted.weighting is Permuted\(.*name its weighting alone"):
        Permuted(Permuted(Uniform()))
