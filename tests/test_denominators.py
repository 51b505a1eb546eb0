"""What an update divides by, held against TRL's loss of the same rollout, and what the learner makes of it.

``TRL`` holds loss and gradient by completion that ``GRPOTrainer._compute_loss`` of trl 1.16.0 gave, called by
``tests/helpers/trl_losses.py``, which also holds the rollout. Two of its four groups have no signal.
"""

import pytest
import torch

import trl_losses
from bounds import assert_same_gradient
from gradients import PLAIN, gradients
from observer.objective import (
    Objective,
    PPOClip,
    Tokens,
    UpdateCounts,
    UpdateFilter,
    counted,
    make_micro_batches,
    reduced,
)
from observer.rollout import ScriptedEngine
from observer.types import Completion, Experience, Group, Problem, Prompt, Sampling, Turn
from runs import MIXED, RIGHT
from tables import holds_for

TRL = {
    ("sequences", False): (-0.034104981, [-0.03125, 0.102450542, 0, 0, -0.113353658, 0.083048134, 0, 0]),
    ("sequences", True): (0.154248677, [-0.03125, 0.102450542, 0, 0, 0, 0.083048134, 0, 0]),
    ("constant", False): (-0.103420494, [-0.015625, 0.085375452, 0, 0, -0.113353658, 0.027682711, 0, 0]),
    ("constant", True): (0.084933163, [-0.015625, 0.085375452, 0, 0, 0, 0.027682711, 0, 0]),
    ("tokens", False): (-0.155130742, [-0.0234375, 0.128063178, 0, 0, -0.170030487, 0.041524067, 0, 0]),
    ("tokens", True): (0.203839592, [-0.0375, 0.204901085, 0, 0, 0, 0.066438507, 0, 0]),
}
"""(denominator, whether cut completions are masked) -> loss, gradient summed by completion."""


def rollout():
    """The experience of the rollout; a completion's first token id is its place in it."""
    groups, place = [], 0
    for row, lengths in enumerate(trl_losses.LENGTHS):
        completions = []
        for index, length in enumerate(lengths):
            reason = "length" if length == trl_losses.MAX_TOKENS else "stop"
            completions.append(Completion((place,) * length, (0.0,) * length, "", reason, index))
            place += 1
        problem = Problem(str(row), row, (Turn("user", "?"),), "7", "integer")
        groups.append(Group(Prompt(problem, (1,)), tuple(completions), Sampling(group_size=2)))
    advantages_P_G = torch.tensor(trl_losses.ADVANTAGES, dtype=torch.float64)
    zeros = torch.zeros_like(advantages_P_G)
    return Experience(tuple(groups), (), zeros, zeros[:, 0], zeros, zeros, advantages_P_G)


def update(denominator, zero_signal, truncated, completions=None, places=range(4), join=False):
    """Loss and gradient by completion of one optimizer step, as the learner takes it."""
    experience, (now_N_T, old_N_T) = rollout(), trl_losses.logprobs()
    selected = UpdateFilter(None, zero_signal, truncated).select(experience, places)
    micro_batches = make_micro_batches(selected, 1000, completions, torch.device("cpu"), join)
    counts = UpdateCounts(**counted(micro_batches, [experience.groups[place] for place in places]))
    losses = []
    for micro_batch in micro_batches:
        ids = [completion.ids for group in micro_batch.groups for completion in group.completions]
        rows = torch.tensor([own[0] for own in ids])
        mask_N_T = torch.arange(trl_losses.MAX_TOKENS) < torch.tensor([len(own) for own in ids])[:, None]
        now, old = now_N_T[rows] * mask_N_T, old_N_T[rows] * mask_N_T
        advantages = micro_batch.advantages_N[:, None].double()
        loss_N_T, _ = Objective(PPOClip())(Tokens(mask_N_T, now, old, old, advantages, torch.zeros_like(old)))
        entered = counts, trl_losses.MAX_TOKENS, micro_batch.parts
        losses.append(reduced(loss_N_T, mask_N_T, denominator, *entered))
    sum(losses).backward()
    return float(sum(losses).detach()), now_N_T.grad.sum(-1).tolist()


@holds_for("without_cut", [False, True])
@holds_for(
    ("denominator", "zero_signal"),
    [
        ("sequences", "drop"),
        ("sequences", "keep"),
        ("constant", "drop"),
        ("constant", "keep"),
        ("tokens", "keep"),
    ],
)
@holds_for("completions", [None, 1])
def test_an_update_is_that_of_trl(denominator, zero_signal, without_cut, completions):
    truncated = "mask" if without_cut else "keep"
    loss, gradient = update(denominator, zero_signal, truncated, completions)
    expected_loss, expected = TRL[denominator, without_cut]
    assert loss == pytest.approx(expected_loss, abs=1e-8)
    assert gradient == pytest.approx(expected, abs=1e-8)


@holds_for("completions", [1, 2, 3, None])
@holds_for("truncated", ["keep", "mask"])
def test_micro_batches_that_share_a_pass_have_the_loss_of_those_that_do_not(completions, truncated):
    loss, gradient = update("micro_batch", "keep", truncated, completions)
    shared_loss, shared = update("micro_batch", "keep", truncated, completions, join=True)
    assert shared_loss == pytest.approx(loss, abs=1e-12)
    assert shared == pytest.approx(gradient, abs=1e-12)
    assert any(shared)


def test_by_tokens_a_rollout_with_dropped_groups_is_one_that_never_had_them():
    """As in DAPO, which draws until there is none: 16 tokens of the other two groups, and not 32."""
    _, dropped = update("tokens", "drop", "keep")
    _, alone = update("tokens", "keep", "keep", places=[0, 2])
    assert dropped == pytest.approx(alone)
    assert dropped == pytest.approx([2 * each for each in TRL["tokens", False][1]], abs=1e-7)


# The learner


class FirstOnly(ScriptedEngine):
    """Answers only the first of the prompts in several ways, and the others right each time."""

    def generate(self, prompts, sampling):
        right = ScriptedEngine([RIGHT.replace(" 1 <", " 1 2 3 4 5 6 <")])
        right.start(self._policy)
        return [
            *super().generate(prompts[:1], sampling),
            *(group for prompt in prompts[1:] for group in right.generate([prompt], sampling)),
        ]


@pytest.mark.parametrize("denominator", ["sequences", "constant", "micro_batch"])
def test_groups_without_signal_that_are_left_out_make_no_larger_step(tmp_path, denominator):
    """Three of four: a mean over what is left would be four times as large."""
    options = {"engine": FirstOnly(MIXED), "denominator": denominator, **PLAIN}
    (dropped,), _ = gradients(tmp_path, **options)
    (kept,), _ = gradients(tmp_path, zero_signal="keep", **options)
    assert kept.norm() > 0
    assert_same_gradient(dropped, kept)


def test_each_of_several_updates_counts_the_groups_of_its_part(tmp_path):
    """Of two parts one holds the only group with signal, beside one without: half of it by itself."""
    options = {"engine": FirstOnly(MIXED), "denominator": "constant", **PLAIN}
    (whole,), _ = gradients(tmp_path, **options)
    parts, _ = gradients(tmp_path, steps=2, updates_per_rollout=2, **options)
    taught = [gradient for gradient in parts if len(gradient)]
    assert len(taught) == 1
    assert_same_gradient(taught[0], 2 * whole)


def test_groups_left_after_the_last_round_of_replacement_count(tmp_path):
    options = {"engine": FirstOnly(MIXED), "denominator": "constant", **PLAIN}
    (found,), metrics = gradients(tmp_path, resample=1, **options)
    (kept,), _ = gradients(tmp_path, resample=1, zero_signal="keep", **options)
    silent = float(metrics["train/zero_signal"])
    assert 0 < silent < 1
    assert_same_gradient(found, kept)
