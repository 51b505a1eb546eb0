"""All terms of an update together, its denominators, and what enters it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from observer.objective import (
    CISPO,
    K1,
    K2,
    K3,
    SAPO,
    Correction,
    Objective,
    PPOClip,
    Tokens,
    UpdateCounts,
    UpdateFilter,
    reduced,
)
from observer.types import Completion, Experience, Group, Problem, Prompt, Sampling, Turn
from tables import holds_for
from token_batches import DENOMINATORS, FEW, away_from_bounds, batches, by_hand, ratios, tensors

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
        return {K1: -d, K2: d * d / 2, K3: min(math.exp(d) - 1 - d, 10.0)}[type(kl)] if kl else 0.0

    expected = dict.fromkeys(figures, 0.0)
    for n, t in zip(*mask.nonzero(), strict=True):
        length, in_reward = int(mask[n].sum()), kl and kl.apply_to == "reward"
        advantage = advantages[n, t]
        term = estimate((old if in_reward else now)[n, t], reference[n, t])
        if in_reward:  # of this token and of all later ones
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


def test_a_logged_kl_is_a_mean_over_completion_tokens():
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


@holds_for("denominator", DENOMINATORS)
@holds_for(
    "objective",
    [
        Objective(PPOClip(0.2, 0.28, dual=3.0), K3(0.3), Correction(), 0.5),
        Objective(SAPO(), K2(0.3), Correction("sequence", "mask", 3.0), 0.5),
        Objective(PPOClip(), K1(0.3), None, 0.0),
        Objective(PPOClip(), None, None, 2.0),
    ],
)
def test_the_gradient_of_a_whole_update_by_the_logits_is_central_differences(objective, denominator):
    """KL, correction and entropy bonus included, over rows that are padded and one that ends at once."""
    generator = torch.Generator().manual_seed(7)
    chosen = torch.randint(0, 5, (3, 4, 1), generator=generator)
    mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    logits, *fixed = (torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(4))
    old, drawn, reference = (each.log_softmax(-1).gather(-1, chosen)[..., 0] * mask for each in fixed)
    advantages = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    entered = UpdateCounts(7, 3, 1)

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
    entered = UpdateCounts(int(lengths.sum()), len(rows), len(rows))
    for denominator, value in expected.items():
        assert float(reduced(loss_N_T, mask_N_T, denominator, entered, max_tokens)) == pytest.approx(value)
        parts = [
            reduced(loss_N_T[n : n + 1], mask_N_T[n : n + 1], denominator, entered, max_tokens)
            for n in range(len(rows))
        ]
        assert float(sum(parts)) == pytest.approx(value)  # however it is cut into micro-batches
    parts = [
        reduced(loss_N_T[n : n + 1], mask_N_T[n : n + 1], "micro_batch", entered, max_tokens)
        for n in range(len(rows))
    ]
    assert float(sum(parts)) == pytest.approx(expected["sequences"])


def test_what_lies_outside_the_mask_is_not_looked_at_even_where_it_is_no_number():
    loss, mask = torch.tensor([[1.0, math.nan]]), torch.tensor([[True, False]])
    for denominator in DENOMINATORS:
        assert float(reduced(loss, mask, denominator, UpdateCounts(1, 1, 1), 1)) == 1.0


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


def selected(update_filter, *made):
    experience = rollout(*made)
    return [
        (group.problem.id, [completion.index for completion in group.completions], own.tolist())
        for group, own in update_filter.select(experience, range(len(experience.groups)))
    ]


def test_cut_completions_leave_the_update_and_the_others_keep_their_advantages():
    made = (
        [[2.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, -0.5, -0.5]],
        [[True, False, True], [True] * 3, [False] * 3],
    )
    masked = selected(UpdateFilter(None, "drop", "mask"), *made)
    assert masked == [("p0", [0, 2], [2.0, -1.0])]
    kept = selected(UpdateFilter(None, "drop", "keep"), *made)
    assert [name for name, _, _ in kept] == ["p0", "p2"]
    everything = selected(UpdateFilter(None, "keep", "mask"), *made)
    assert [(name, rows) for name, rows, _ in everything] == [("p0", [0, 2]), ("p1", [0, 1, 2])]


def test_a_group_of_which_only_cut_completions_had_a_say_is_dropped():
    made = ([[1.0, 0.0, 0.0]], [[False, True, True]])
    assert selected(UpdateFilter(None, "drop", "mask"), *made) == []
    assert selected(UpdateFilter(None, "keep", "mask"), *made) == [("p0", [1, 2], [0.0, 0.0])]


def test_advantages_are_cut_to_the_limit():
    made = ([[3.0, -4.0, 0.5]], [[True] * 3])
    assert selected(UpdateFilter(2.0, "drop", "keep"), *made) == [("p0", [0, 1, 2], [2.0, -2.0, 0.5])]
