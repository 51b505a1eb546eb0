"""Losses, KL terms, corrections and denominators against their formulas, written out in loops of floats."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given

from observer.objective import (
    CISPO,
    K1,
    K2,
    K3,
    SAPO,
    Correction,
    PPOClip,
    UpdateCounts,
    reduced,
)
from observer.objective.losses.base import ratio
from observer.types import RefusedError
from tables import holds_for
from token_batches import FEW, LOSSES, away_from_bounds, batches, by_hand, ratios, tensors

# Policy losses


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@FEW
@given(batch=batches())
def test_values_gradients_and_clipped_tokens_are_those_of_the_formula(loss, batch):
    mask, now, old, _, _, advantages = batch
    found = ratios(loss, mask, now, old)
    assume(away_from_bounds(loss, found))
    logprobs, old_N_T, advantages_N_T, mask_N_T = tensors(now, old, advantages, mask)
    values, clipped = loss(logprobs.requires_grad_(), old_N_T, advantages_N_T, mask_N_T)
    assert values.isfinite().all()
    assert clipped.dtype == torch.bool
    assert values.shape == clipped.shape == mask.shape
    values[mask_N_T].sum().backward()
    for n, t in zip(*mask.nonzero(), strict=True):
        expected = by_hand(loss, found[n, t], now[n, t], advantages[n, t])
        assert float(values[n, t].detach()) == pytest.approx(expected[0], abs=1e-12)
        assert float(logprobs.grad[n, t]) == pytest.approx(expected[1], abs=1e-12)
        assert bool(clipped[n, t]) == expected[2]
    assert not logprobs.grad[~mask_N_T].any()


@pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if loss not in (CISPO(), CISPO(0.5, 1.28))], ids=str
)
@FEW
@given(batch=batches(empty=False))
def test_gradients_are_central_differences(loss, batch):
    """GSPO's are of the sequence's own term, averaged over sequences."""
    mask, now, old, _, _, advantages = batch
    by_sequence = getattr(loss, "level", "token") == "sequence"
    if by_sequence:
        advantages = np.broadcast_to(advantages[:, :1], advantages.shape)
    found = ratios(loss, mask, now, old)
    assume(away_from_bounds(loss, found))

    def total(values):
        r = ratios(loss, mask, values, old)
        own = [
            [by_hand(loss, *each)[0] for each in zip(*row, strict=True)]
            for row in zip(r, values, advantages, strict=True)
        ]
        if by_sequence:
            return math.fsum(row[0] for row in own) / len(own)
        return math.fsum(own[n][t] for n, t in zip(*mask.nonzero(), strict=True)) / mask.sum()

    logprobs, old_N_T, advantages_N_T, mask_N_T = tensors(now, old, advantages, mask)
    entered = UpdateCounts(float(mask.sum()), len(mask), 1)
    values, _ = loss(logprobs.requires_grad_(), old_N_T, advantages_N_T, mask_N_T)
    reduced(values, mask_N_T, "sequences" if by_sequence else "tokens", entered, 4).backward()
    for n, t in zip(*mask.nonzero(), strict=True):
        up, down = now.copy(), now.copy()
        up[n, t], down[n, t] = now[n, t] + 1e-6, now[n, t] - 1e-6
        assert float(logprobs.grad[n, t]) == pytest.approx((total(up) - total(down)) / 2e-6, abs=1e-7)


@holds_for("loss", LOSSES)
def test_the_first_update_on_a_rollout_is_the_plain_policy_gradient(loss):
    """U = 1, old = detached policy: all losses have the gradient -A, and none clips."""
    logprobs = torch.tensor([[-1.0, -2.0], [-0.5, 0.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True], [True, False]])
    advantages = torch.tensor([[3.0], [-2.0]], dtype=torch.float64).expand(2, 2)
    values, clipped = loss(logprobs, logprobs.detach(), advantages, mask)
    values[mask].sum().backward()
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-3.0, -3.0], [2.0, 0.0]]).double())
    assert not clipped.any()


def test_what_stands_beside_the_tokens_changes_no_ratio():
    now, old = torch.tensor([[-1.0, -2.0, 7.0]]), torch.tensor([[-1.5, -2.5, -9.0]])
    mask = torch.tensor([[True, True, False]])
    assert ratio(now, old, mask, "sequence")[0, :2].tolist() == pytest.approx([math.exp(0.5)] * 2)
    assert torch.equal(ratio(now, old, ~mask & mask, "sequence"), torch.ones(1, 3))


def test_dual_clip_bounds_what_a_token_that_became_likely_can_do():
    mask, old = torch.ones(1, 1, dtype=torch.bool), torch.full((1, 1), -8.0)
    now = torch.zeros(1, 1, requires_grad=True)
    for loss, bounded in ((PPOClip(), False), (PPOClip(dual=3.0), True)):
        now.grad = None
        values, clipped = loss(now, old, torch.tensor([[-1.0]]), mask)
        values.sum().backward()
        assert (float(values.detach()) == 3.0, bool(clipped), float(now.grad) == 0.0) == (bounded,) * 3


UNBOUNDED = [*LOSSES, CISPO(cap=math.inf), PPOClip(clip_high=1e30), PPOClip(clip_high=1e30, level="sequence")]


@holds_for("loss", UNBOUNDED)
@holds_for("log_ratio", [-1000.0, -89.0, 89.0, 1000.0])
def test_a_loss_and_its_gradient_are_finite_however_far_the_policy_is(loss, log_ratio):
    """And 0 where the advantage is 0: an infinite ratio times 0 would be no number."""
    old, mask = torch.full((3, 2), -1.0), torch.ones(3, 2, dtype=torch.bool)
    now = (old + log_ratio).requires_grad_()
    values, _ = loss(now, old, torch.tensor([[0.0], [1.0], [-1.0]]), mask)
    values.sum().backward()
    assert values.isfinite().all()
    assert now.grad.isfinite().all()
    assert not values[0].any()
    assert not now.grad[0].any()


@holds_for(("level", "bound"), [("token", 20.0), ("sequence", 10.0)])
def test_a_ratio_grows_up_to_the_bound_of_its_level_and_has_no_gradient_beyond(level, bound):
    """As in verl: 20 for a token, 10 for the mean over a sequence."""
    now, mask = (
        torch.tensor([[bound - 1], [bound + 1]], dtype=torch.float64),
        torch.ones(2, 1, dtype=torch.bool),
    )
    found = ratio(now.requires_grad_(), torch.zeros(2, 1).double(), mask, level)
    found.sum().backward()
    assert found.flatten().tolist() == pytest.approx([math.exp(bound - 1), math.exp(bound)])
    assert now.grad.flatten().tolist() == pytest.approx([math.exp(bound - 1), 0.0])


# Parameters


@holds_for(
    ("build", "message"),
    [
        (lambda: PPOClip(clip_low=0.0), "PPOClip.clip_low is 0.0; it must be in (0, 1]"),
        (lambda: PPOClip(clip_low=1.1), "PPOClip.clip_low is 1.1; it must be in (0, 1]"),
        (lambda: PPOClip(clip_high=-0.2), "PPOClip.clip_high is -0.2; it must be > 0 and finite"),
        (lambda: PPOClip(clip_high=math.inf), "PPOClip.clip_high is inf; it must be > 0 and finite"),
        (lambda: PPOClip(level="word"), "PPOClip.level is 'word'; it must be one of token, sequence"),
        (lambda: PPOClip(dual=1.0), "PPOClip.dual is 1.0; it must be > 1 and finite, or null"),
        (lambda: CISPO(floor=-0.1), "CISPO.floor is -0.1; it must be in [0, 1)"),
        (lambda: CISPO(cap=0.28), "CISPO.cap is 0.28; it must be > 1: it bounds the ratio itself"),
        (lambda: SAPO(tau_positive=0.0), "SAPO.tau_positive is 0.0; it must be > 0 and finite"),
        (lambda: SAPO(tau_negative=math.nan), "SAPO.tau_negative is nan; it must be > 0 and finite"),
        (lambda: Correction(level="group"), "Correction.level is 'group'; it must be one of token, sequence"),
        (lambda: Correction(mode="drop"), "Correction.mode is 'drop'; it must be one of truncate, mask"),
        (lambda: Correction(cap=1.0), "Correction.cap is 1.0; it must be > 1"),
        (lambda: Correction(floor=1.5), "Correction.floor is 1.5; it must be in [0, 1]"),
        (lambda: K1(coefficient=0.0), "K1.coefficient is 0.0; it must be > 0 and finite (kl: null switches"),
        (lambda: K2(coefficient=-1.0), "K2.coefficient is -1.0; it must be > 0 and finite"),
        (lambda: K3(coefficient=math.inf), "K3.coefficient is inf; it must be > 0 and finite"),
        (lambda: K3(apply_to="rewards"), "K3.apply_to is 'rewards'; it must be one of loss, reward"),
    ],
)
def test_impossible_parameters_are_refused_with_value_and_range(build, message):
    with pytest.raises(RefusedError) as caught:
        build()
    assert message in str(caught.value)
