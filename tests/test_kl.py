"""KL estimates, and the importance correction between sampler and trainer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bounds import rounding
from observer.objective import (
    K1,
    K2,
    K3,
    Correction,
)
from observer.objective.kl.base import reward_to_go
from tables import holds_for
from token_batches import FEW, batches, tensors

# KL


@FEW
@given(log_ratio=npst.arrays(np.float64, (3, 4), elements=st.floats(-2, 2) | st.floats(-1e-7, 1e-7)))
def test_kl_estimates_and_their_gradients_follow_their_formulas(log_ratio):
    formulas = {  # of d = log ref - log pi, and by log pi
        K1(): (-log_ratio, np.ones_like(log_ratio)),
        K2(): (log_ratio**2 / 2, -log_ratio),
        K3(): (np.exp(log_ratio) - 1 - log_ratio, 1 - np.exp(log_ratio)),
    }
    for kl, (value, slope) in formulas.items():
        logprobs = torch.full((3, 4), -2.0, dtype=torch.float64, requires_grad=True)
        found = kl(logprobs, logprobs.detach() + torch.from_numpy(log_ratio))
        found.sum().backward()
        np.testing.assert_allclose(found.detach(), value, atol=1e-12)
        np.testing.assert_allclose(logprobs.grad, slope, atol=1e-12)
        assert isinstance(kl, K1) or (found >= 0).all()


def test_in_float32_k3_is_never_negative_and_near_its_formula():
    """Up to 10, where it is cut, and to a log-ratio of 2.6."""
    log_ratio = torch.linspace(-2, 1.37, 4001) ** 3
    found = K3()(torch.zeros(4001), log_ratio)
    assert (found >= 0).all()
    growth = log_ratio.double().expm1()
    error = (found.double() - (growth - log_ratio.double())).abs()
    # Each term of a difference has a rounding or two; near 0 the terms are far larger than what is left.
    assert (error <= 4 * rounding() * (growth.abs() + log_ratio.double().abs())).all()


@holds_for("kl", [K1(), K2(), K3()])
@holds_for("log_ratio", [-1000.0, -90.0, 90.0, 1000.0])
def test_a_kl_estimate_and_its_gradient_are_finite_however_far_the_policy_is(kl, log_ratio):
    now = torch.tensor([[-1.0]], requires_grad=True)
    value = kl(now, torch.tensor([[-1.0 + log_ratio]]))
    value.sum().backward()
    assert value.isfinite().all()
    assert now.grad.isfinite().all()


@holds_for(("log_ratio", "expected"), [(2.6, (9.864, -12.464)), (2.7, (10.0, 0.0)), (90.0, (10.0, 0.0))])
def test_one_token_adds_no_more_than_10_to_k3_and_has_no_gradient_beyond(log_ratio, expected):
    """As in verl. exp(2.6) - 1 - 2.6 = 9.864."""
    now = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    value = K3()(now, torch.tensor(log_ratio, dtype=torch.float64))
    value.backward()
    assert (float(value.detach()), float(now.grad)) == pytest.approx(expected, abs=1e-3)


def test_k1_and_k3_average_to_the_kl_of_the_distributions_and_k2_has_its_gradient():
    logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log().requires_grad_()
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    logprobs = logits.log_softmax(-1)
    policy = logprobs.detach().exp()
    kl = (logprobs.exp() * (logprobs - reference.log())).sum()
    for estimate in (K1(), K3()):
        with torch.no_grad():
            assert float((policy * estimate(logprobs, reference.log())).sum()) == pytest.approx(float(kl))
            assert not estimate(logprobs, logprobs).any()
    (expected,) = torch.autograd.grad(kl, logits, retain_graph=True)
    slopes = {
        type(estimate): torch.autograd.grad(
            (policy * estimate(logprobs, reference.log())).sum(), logits, retain_graph=True
        )[0]
        for estimate in (K1(), K2(), K3())
    }
    torch.testing.assert_close(slopes[K2], expected)
    # No term for a loss: its gradient is 0 on average.
    torch.testing.assert_close(slopes[K1], torch.zeros(3).double(), atol=1e-12, rtol=0)
    assert not torch.allclose(slopes[K3], expected, rtol=1e-2)


@FEW
@given(rewards_N_T=npst.arrays(np.float64, (3, 5), elements=st.floats(-3, 3)))
def test_a_token_is_worth_the_rewards_of_itself_and_of_all_later_ones(rewards_N_T):
    expected = [[math.fsum(row[t:]) for t in range(len(row))] for row in rewards_N_T.tolist()]
    found = reward_to_go(torch.from_numpy(rewards_N_T)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


# Correction of the sampler's log-probs


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", ["truncate", "mask"])
@FEW
@given(batch=batches(), floor=st.sampled_from([0.0, 0.5, 1.0]), cap=st.sampled_from([1.1, 2.0, math.inf]))
def test_correction_weights_are_those_of_the_formula(level, mode, batch, floor, cap):
    mask, _, old, drawn, _, _ = batch
    old_N_T, drawn_N_T, mask_N_T = tensors(old, drawn, mask)
    weights, cut = Correction(level, mode, cap, floor)(old_N_T.requires_grad_(), drawn_N_T, mask_N_T)
    assert not weights.requires_grad
    for n, t in zip(*mask.nonzero(), strict=True):
        places = [t] if level == "token" else range(int(mask[n].sum()))
        weight = math.exp(math.fsum(old[n, i] - drawn[n, i] for i in places))
        assume(abs(weight - floor) > 1e-9 and abs(weight - cap) > 1e-9)
        outside = not floor <= weight <= cap
        expected = 0.0 if outside and mode == "mask" else min(max(weight, floor), cap)
        assert float(weights[n, t]) == pytest.approx(expected, rel=1e-12)
        assert bool(cut[n, t]) == outside


def test_a_product_over_a_long_sequence_overflows_nothing():
    old, drawn = torch.zeros(2, 2000), torch.tensor([[-3.0], [3.0]]).expand(2, 2000)
    mask = torch.ones(2, 2000, dtype=torch.bool)
    for mode, expected in (("truncate", [2.0, 0.0]), ("mask", [0.0, 0.0])):
        weights, cut = Correction("sequence", mode)(old, drawn, mask)
        assert weights[:, 0].tolist() == pytest.approx(expected)
        assert cut[:, 0].tolist() == [True, False]


@holds_for("level", ["token", "sequence"])
@holds_for("mode", ["truncate", "mask"])
def test_without_a_cap_a_weight_is_still_finite(level, mode):
    """The trainer is far surer of a token than the sampler was: exp(90) is infinite in float32."""
    old, drawn = torch.zeros(1, 2), torch.tensor([[-90.0, -1.0]])
    weights, cut = Correction(level, mode, cap=math.inf)(old, drawn, torch.ones(1, 2, dtype=torch.bool))
    first = math.exp(20) if mode == "truncate" else 0.0
    assert float(weights[0, 0]) == pytest.approx(first)
    assert bool(cut[0, 0])
    assert float(weights[0, 1]) == pytest.approx(math.e if level == "token" else first)


def test_where_sampler_and_trainer_agree_nothing_is_cut_or_changed():
    logprobs, mask = torch.randn(2, 5), torch.ones(2, 5, dtype=torch.bool)
    for correction in (Correction(), Correction("sequence", "mask", floor=1.0)):
        weights, cut = correction(logprobs, logprobs, mask)
        assert torch.equal(weights, torch.ones(2, 5))
        assert not cut.any()
