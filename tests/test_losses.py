"""Losses, KL terms, corrections and denominators against their formulas, written out in loops of floats."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from observer.objective import (
    CISPO,
    K1,
    K2,
    K3,
    SAPO,
    Correction,
    Entered,
    Entrance,
    Objective,
    PPOClip,
    Tokens,
    reduced,
)
from observer.objective.kl.base import reward_to_go
from observer.objective.losses.base import ratio
from observer.types import Completion, Experience, Group, Problem, Prompt, RefusedError, Sampling, Turn

FEW = settings(max_examples=60, deadline=None)
LOSSES = [
    PPOClip(),
    PPOClip(0.2, 0.28),  # DAPO
    PPOClip(1.0, 0.3, dual=1.5),
    PPOClip(0.05, 0.1, level="sequence"),  # GSPO
    PPOClip(0.3, 0.1, level="sequence", dual=1.2),
    CISPO(),
    CISPO(floor=0.5, cap=1.28),
    SAPO(),
    SAPO(tau_positive=2.0, tau_negative=0.5),
]
DENOMINATORS = ("tokens", "sequences", "constant", "micro_batch")


@st.composite
def batches(draw, empty=True):
    """Padded (N, T) arrays: mask, log-probs now, before, as drawn and of the reference, advantages."""
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0 if empty else 1, width), min_size=rows, max_size=rows))
    mask = np.arange(width) < np.array(lengths)[:, None]

    def floats(low, high):
        return draw(npst.arrays(np.float64, (rows, width), elements=st.floats(low, high)))

    old = floats(-4, -0.1) * mask
    others = [(old + floats(-1.5, 1.5)) * mask for _ in range(3)]
    advantages = floats(-2, 2)
    return mask, others[0], old, others[1], others[2], np.where(np.abs(advantages) < 1e-3, 0.0, advantages)


def tensors(*arrays):
    return [torch.from_numpy(np.array(array)) for array in arrays]


def ratios(loss, mask, now, old):
    """Of every token; 1 where there is none."""
    found = np.ones_like(now)
    for n, row in enumerate(mask):
        length = int(row.sum())
        for t in range(length):
            if getattr(loss, "level", "token") == "sequence":
                found[n, t] = math.exp(math.fsum(now[n, :length] - old[n, :length]) / length)
            else:
                found[n, t] = math.exp(now[n, t] - old[n, t])
    return found


def by_hand(loss, r, logprob, advantage):
    """Value, gradient by the log-prob and whether clipping changed it, of one token."""
    if isinstance(loss, SAPO):
        tau = loss.tau_positive if advantage > 0 else loss.tau_negative
        gate = 1 / (1 + math.exp(-tau * (r - 1)))
        return -4 / tau * gate * advantage, -4 * gate * (1 - gate) * r * advantage, False
    if isinstance(loss, CISPO):
        weight = min(max(r, loss.floor), loss.cap)
        return -weight * advantage * logprob, -weight * advantage, weight != r and advantage != 0
    if advantage > 0 and r > 1 + loss.clip_high:
        return -(1 + loss.clip_high) * advantage, 0.0, True
    if advantage < 0 and r < 1 - loss.clip_low:
        return -(1 - loss.clip_low) * advantage, 0.0, True
    if advantage < 0 and loss.dual and r > loss.dual:
        return -loss.dual * advantage, 0.0, True
    return -r * advantage, -r * advantage, False


def away_from_bounds(loss, found):
    """Where a loss has a corner there is no gradient to compare with."""
    bounds = [getattr(loss, name, None) for name in ("dual", "floor", "cap")]
    bounds += [1 - getattr(loss, "clip_low", 0.0), 1 + getattr(loss, "clip_high", 0.0)]
    smooth = found[~np.isclose(found, 1.0)]  # 1 is a bound of nothing, it stands where there is no token
    return all(np.abs(smooth - bound).min(initial=1.0) > 1e-6 for bound in bounds if bound is not None)


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
    entered = Entered(float(mask.sum()), len(mask), 1)
    values, _ = loss(logprobs.requires_grad_(), old_N_T, advantages_N_T, mask_N_T)
    reduced(values, mask_N_T, "sequences" if by_sequence else "tokens", entered, 4).backward()
    for n, t in zip(*mask.nonzero(), strict=True):
        up, down = now.copy(), now.copy()
        up[n, t], down[n, t] = now[n, t] + 1e-6, now[n, t] - 1e-6
        assert float(logprobs.grad[n, t]) == pytest.approx((total(up) - total(down)) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
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
    log_ratio = torch.linspace(-2, 2, 4001) ** 3
    found = K3()(torch.zeros(4001), log_ratio)
    assert (found >= 0).all()
    torch.testing.assert_close(
        found.double(), log_ratio.double().expm1() - log_ratio.double(), atol=1e-6, rtol=1e-4
    )


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
    torch.testing.assert_close(
        slopes[K1], torch.zeros(3).double(), atol=1e-12, rtol=0
    )  # S12: no term for a loss
    assert not torch.allclose(slopes[K3], expected, rtol=1e-2)


@FEW
@given(rewards_N_T=npst.arrays(np.float64, (3, 5), elements=st.floats(-3, 3)))
def test_a_token_is_worth_the_rewards_of_itself_and_of_all_later_ones(rewards_N_T):
    expected = [[math.fsum(row[t:]) for t in range(len(row))] for row in rewards_N_T.tolist()]
    found = reward_to_go(torch.from_numpy(rewards_N_T)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


# Correction, S15


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", ["truncate", "mask"])
@FEW
@given(batch=batches(), floor=st.sampled_from([0.0, 0.5, 1.0]), cap=st.sampled_from([1.1, 2.0, math.inf]))
def test_correction_weights_are_those_of_the_formula(level, mode, batch, floor, cap):  # S15
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


def test_where_sampler_and_trainer_agree_nothing_is_cut_or_changed():
    logprobs, mask = torch.randn(2, 5), torch.ones(2, 5, dtype=torch.bool)
    for correction in (Correction(), Correction("sequence", "mask", floor=1.0)):
        weights, cut = correction(logprobs, logprobs, mask)
        assert torch.equal(weights, torch.ones(2, 5))
        assert not cut.any()


# All terms together


OBJECTIVES = [
    Objective(PPOClip()),
    Objective(PPOClip(), K3(0.3), Correction(), 0.1),
    Objective(PPOClip(0.3, 0.1, level="sequence"), K2(0.3), Correction("sequence", "mask", 3.0, 0.5), 0.1),
    Objective(SAPO(), K1(0.2), Correction(mode="mask")),
    Objective(CISPO(), K3(0.2, "reward"), None, 0.3),
]


def tokens_of(batch, entropy):
    mask, now, old, drawn, reference, advantages = batch
    tensor = dict(
        zip(
            ("mask_N_T", "logprobs_N_T", "old_N_T", "drawn_N_T", "reference_N_T", "advantages_N_T"),
            tensors(mask, now, old, drawn, reference, advantages),
            strict=True,
        )
    )
    return Tokens(**tensor, entropy_N_T=torch.from_numpy(entropy))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@FEW
@given(batch=batches(), seed=st.integers(0, 9))
def test_the_loss_of_a_token_is_the_sum_of_its_terms_and_figures_look_at_tokens_only(objective, batch, seed):
    mask, now, old, drawn, reference, advantages = batch
    entropy = np.random.default_rng(seed).random(mask.shape)
    r = ratios(objective.loss, mask, now, old)
    assume(away_from_bounds(objective.loss, r))
    loss, sums = objective(tokens_of(batch, entropy))
    figures = dict(zip(objective.figures, sums.tolist(), strict=True))
    kl, correction = objective.kl, objective.correction

    def estimate(logprob, other):
        d = other - logprob
        return {K1: -d, K2: d * d / 2, K3: math.exp(d) - 1 - d}[type(kl)] if kl else 0.0

    expected = dict.fromkeys(figures, 0.0)
    for n, t in zip(*mask.nonzero(), strict=True):
        length, in_reward = int(mask[n].sum()), kl and kl.apply_to == "reward"
        advantage = advantages[n, t]
        term = estimate((old if in_reward else now)[n, t], reference[n, t])
        if in_reward:  # S12: the penalty of the release, to go
            later = [estimate(old[n, i], reference[n, i]) for i in range(t, length)]
            advantage -= kl.coefficient * math.fsum(later)
        value, _, clipped = by_hand(objective.loss, r[n, t], now[n, t], advantage)
        weight, cut = 1.0, False
        if correction:
            places = [t] if correction.level == "token" else range(length)
            weight = math.exp(math.fsum(old[n, i] - drawn[n, i] for i in places))
            assume(abs(weight - correction.floor) > 1e-9 and abs(weight - correction.cap) > 1e-9)
            cut = not correction.floor <= weight <= correction.cap
            bounded = min(max(weight, correction.floor), correction.cap)
            weight = 0.0 if cut and correction.mode == "mask" else bounded
        value = weight * value + (0.0 if in_reward or not kl else kl.coefficient * term)
        value -= objective.entropy_bonus * entropy[n, t]
        assert float(loss[n, t]) == pytest.approx(value, abs=1e-10)
        own = {"tokens": 1, "loss": value, "entropy": entropy[n, t], "clip_share": clipped, "kl": term}
        own |= {
            "sampler_gap": abs(drawn[n, t] - old[n, t]),
            "correction_weight": weight,
            "correction_cut": cut,
        }
        expected = {name: total + own[name] for name, total in expected.items()}
    assert figures == pytest.approx(expected, abs=1e-9)


def test_a_logged_kl_is_a_mean_over_completion_tokens():  # S16
    mask = np.array([[True, False, False, False]])
    fields = [np.array([[value, 9.0, 9.0, 9.0]]) for value in (-1.0, -1.0, -1.0, -1.5, 1.0)]
    objective = Objective(PPOClip(), K1(0.1, "loss"))
    _, sums = objective(tokens_of((mask, *fields), np.ones((1, 4))))
    figures = dict(zip(objective.figures, sums.tolist(), strict=True))
    assert figures["kl"] / figures["tokens"] == pytest.approx(0.5)


def test_figures_are_those_of_the_terms_that_are_there():
    plain = {"tokens", "loss", "entropy", "clip_share", "sampler_gap"}
    assert set(Objective(PPOClip()).figures) == plain
    assert set(Objective(PPOClip(), K3()).figures) == plain | {"kl"}
    corrected = plain | {"correction_weight", "correction_cut"}
    assert set(Objective(PPOClip(), correction=Correction()).figures) == corrected
    silent = [
        Objective(PPOClip(), kl, None, bonus).silent_without_advantages
        for kl, bonus in ((None, 0.0), (K3(), 0.0), (None, 0.1))
    ]
    assert silent == [True, False, False]


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize(
    "objective",
    [
        Objective(PPOClip(0.2, 0.28, dual=3.0), K3(0.3), Correction(), 0.5),
        Objective(SAPO(), K2(0.3), Correction("sequence", "mask", 3.0), 0.5),
        Objective(PPOClip(), K1(0.3), None, 0.0),
        Objective(PPOClip(), None, None, 2.0),
    ],
    ids=str,
)
def test_the_gradient_of_a_whole_update_by_the_logits_is_central_differences(objective, denominator):
    """KL, correction and entropy bonus included, over rows that are padded and one that ends at once."""
    generator = torch.Generator().manual_seed(7)
    chosen = torch.randint(0, 5, (3, 4, 1), generator=generator)
    mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    logits, *fixed = (torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(4))
    old, drawn, reference = (each.log_softmax(-1).gather(-1, chosen)[..., 0] * mask for each in fixed)
    advantages = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    entered = Entered(7, 3, 1)

    def total(logits):
        logprobs = logits.log_softmax(-1)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        now = torch.where(mask, logprobs.gather(-1, chosen)[..., 0], 0.0)
        loss, _ = objective(Tokens(mask, now, old, drawn, advantages, entropy, reference))
        return reduced(loss, mask, denominator, entered, 6)

    assert torch.autograd.gradcheck(total, (logits.requires_grad_(),), eps=1e-6, atol=1e-7)
    (gradient,) = torch.autograd.grad(total(logits), logits)
    assert gradient[mask].any()
    assert not gradient[~mask].any()


# Denominators


@FEW
@given(batch=batches(empty=False), max_tokens=st.integers(4, 9))
def test_denominators_are_those_of_their_formulas_and_shares_of_parts_add_up(batch, max_tokens):
    mask, loss = batch[0], batch[-1]
    lengths = mask.sum(-1)
    rows = [math.fsum(row[:length]) for row, length in zip(loss, lengths, strict=True)]
    expected = {
        "tokens": math.fsum(rows) / lengths.sum(),
        "sequences": math.fsum(row / length for row, length in zip(rows, lengths, strict=True)) / len(rows),
        "constant": math.fsum(rows) / (len(rows) * max_tokens),
    }
    loss_N_T, mask_N_T = tensors(loss, mask)
    entered = Entered(int(lengths.sum()), len(rows), len(rows))
    for denominator, value in expected.items():
        assert float(reduced(loss_N_T, mask_N_T, denominator, entered, max_tokens)) == pytest.approx(value)
        parts = [
            reduced(loss_N_T[n : n + 1], mask_N_T[n : n + 1], denominator, entered, max_tokens)
            for n in range(len(rows))
        ]
        assert float(sum(parts)) == pytest.approx(value)  # S13: however it is cut
    parts = [
        reduced(loss_N_T[n : n + 1], mask_N_T[n : n + 1], "micro_batch", entered, max_tokens)
        for n in range(len(rows))
    ]
    assert float(sum(parts)) == pytest.approx(expected["sequences"])


def test_what_lies_outside_the_mask_is_not_looked_at_even_where_it_is_no_number():
    loss, mask = torch.tensor([[1.0, math.nan]]), torch.tensor([[True, False]])
    for denominator in DENOMINATORS:
        assert float(reduced(loss, mask, denominator, Entered(1, 1, 1), 1)) == 1.0


# What enters an update


def rollout(advantages, finished):
    """An experience of groups of completions, 1 + i tokens each."""
    groups = tuple(
        Group(
            Prompt(Problem(f"p{n}", n, (Turn("user", "?"),), "7", "integer"), (1,)),
            tuple(
                Completion((9,) * (1 + i), (0.0,) * (1 + i), "", "stop" if ended else "length", i)
                for i, ended in enumerate(row)
            ),
            Sampling(group_size=len(row)),
        )
        for n, row in enumerate(finished)
    )
    advantages_P_G = torch.tensor(advantages, dtype=torch.float64)
    zeros = torch.zeros_like(advantages_P_G)
    return Experience(groups, (), zeros, zeros[:, 0], zeros, zeros, advantages_P_G)


def admitted(entrance, *made):
    experience = rollout(*made)
    return [
        (group.problem.id, [completion.index for completion in group.completions], own.tolist())
        for group, own in entrance.admit(experience, range(len(experience.groups)))
    ]


def test_cut_completions_leave_the_update_and_the_others_keep_their_advantages():  # S14
    made = (
        [[2.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, -0.5, -0.5]],
        [[True, False, True], [True] * 3, [False] * 3],
    )
    masked = admitted(Entrance(math.inf, "drop", "mask"), *made)
    assert masked == [("p0", [0, 2], [2.0, -1.0])]
    kept = admitted(Entrance(math.inf, "drop", "keep"), *made)
    assert [name for name, _, _ in kept] == ["p0", "p2"]
    everything = admitted(Entrance(math.inf, "keep", "mask"), *made)
    assert [(name, rows) for name, rows, _ in everything] == [("p0", [0, 2]), ("p1", [0, 1, 2])]


def test_a_group_of_which_only_cut_completions_had_a_say_is_dropped():  # S8
    made = ([[1.0, 0.0, 0.0]], [[False, True, True]])
    assert admitted(Entrance(math.inf, "drop", "mask"), *made) == []
    assert admitted(Entrance(math.inf, "keep", "mask"), *made) == [("p0", [1, 2], [0.0, 0.0])]


def test_advantages_are_cut_to_the_limit():
    made = ([[3.0, -4.0, 0.5]], [[True] * 3])
    assert admitted(Entrance(2.0, "drop", "keep"), *made) == [("p0", [0, 1, 2], [2.0, -2.0, 0.5])]


# Parameters


@pytest.mark.parametrize(
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
