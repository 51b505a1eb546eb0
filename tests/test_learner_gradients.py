"""What an update of the learner computes: denominators, micro-batches, masks, corrections."""

import pytest
import torch

from bounds import GRADIENT, assert_same_gradient, of_logprob
from gradients import PLAIN, Drawn, first_rollout, gradient_of, gradients
from observer.objective import (
    CISPO,
    K1,
    K2,
    K3,
    SAPO,
    Correction,
    PPOClip,
    Uniform,
)
from observer.policy import Policy
from observer.rewards import Accuracy
from observer.rollout import ScriptedEngine
from runs import MIXED, RIGHT, WRONG


@pytest.fixture(scope="module")
def rollout(tmp_path_factory):
    """The policy of a fresh run and the groups of its first rollout; tests leave nothing but gradients."""
    return first_rollout(tmp_path_factory.mktemp("rollout"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The same of a sampler that is a little off."""
    return first_rollout(tmp_path_factory.mktemp("drawn"), Drawn())


@pytest.mark.filterwarnings("ignore:model.micro_batch is")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"denominator": "sequences", "loss": PPOClip(level="sequence"), "correction": Correction("sequence")},
        {"denominator": "constant", "loss": SAPO(), "kl": K2(0.5), "entropy_bonus": 0.1},
        {"loss": CISPO(), "kl": K1(0.5), "truncated": "mask", "max_tokens": 16},
    ],
    ids=["default", "sequences", "constant", "masked"],
)
def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path, options):
    """A token weighs the same, whatever it shares a micro-batch with."""
    bound = GRADIENT
    if options.get("denominator") == "sequences":  # its weights are products over as many as 48 tokens
        bound += (2 * 48) ** 0.5 * of_logprob()
    options = {**options, "data": {"prompts_per_step": 2}}
    (whole,), _ = gradients(tmp_path, micro_batch=8, engine=Drawn(), **options)
    for size in (1, 3, 4):
        (cut,), _ = gradients(tmp_path, micro_batch=size, engine=Drawn(), **options)
        assert_same_gradient(cut, whole, bound)
    assert whole.norm() > 0.003


def test_rewards_stay_with_their_completions_where_micro_batches_do_not_divide_them(tmp_path):
    """9 completions of 3 groups in micro-batches of 4: the release paired rewards with other sequences."""
    options = {"group_size": 3, "data": {"prompts_per_step": 3}}
    (whole,), _ = gradients(tmp_path, micro_batch=9, **options)
    (cut,), _ = gradients(tmp_path, micro_batch=4, **options)
    assert_same_gradient(cut, whole)
    assert whole.norm() > 0.01


def test_the_gradient_does_not_depend_on_the_tokens_of_a_micro_batch(tmp_path, monkeypatch):
    passes = []
    logprobs = Policy.logprobs

    def counted(policy, groups, *options, **named):
        passes.append(sum(len(group.prompt.ids) + group.tokens for group in groups))
        return logprobs(policy, groups, *options, **named)

    monkeypatch.setattr(Policy, "logprobs", counted)
    (whole,), _ = gradients(tmp_path, micro_batch=None, micro_batch_tokens=10_000)
    assert len(passes) == 1
    for tokens, count in ((sum(passes) // 2, 3), (80, 8), (1, 16)):
        passes.clear()
        (cut,), _ = gradients(tmp_path, micro_batch=None, micro_batch_tokens=tokens)
        assert len(passes) == count
        assert max(passes) <= tokens or count == 16
        assert_same_gradient(cut, whole)


def test_by_micro_batch_each_is_divided_by_its_own_tokens(tmp_path, monkeypatch):
    one, _ = gradients(tmp_path, micro_batch=16, denominator="micro_batch")
    all_tokens, _ = gradients(tmp_path, micro_batch=16)
    assert_same_gradient(one[0], all_tokens[0])
    passes, logprobs = [], Policy.logprobs
    monkeypatch.setattr(
        Policy, "logprobs", lambda *given, **named: passes.append(1) or logprobs(*given, **named)
    )
    several, _ = gradients(tmp_path, micro_batch=3, denominator="micro_batch")
    assert len(passes) == 1  # prompts are not repeated
    assert not torch.allclose(several[0], all_tokens[0], rtol=1e-2)


@pytest.mark.parametrize("loss", [PPOClip(), PPOClip(level="sequence", dual=3.0), CISPO(), SAPO()], ids=str)
@pytest.mark.parametrize("denominator", ["tokens", "sequences", "constant"])
def test_the_gradient_is_that_of_the_formula(rollout, tmp_path, loss, denominator):
    """Written out: sums over tokens of -A log p, over what the denominator says."""
    (found,), _ = gradients(tmp_path, loss=loss, denominator=denominator, **PLAIN)
    policy, groups = rollout
    advantages = torch.tensor([0.5, -0.5, 0.5, -0.5] * 4)
    rows = -(advantages[:, None] * policy.logprobs(groups).values_N_T).sum(-1)
    lengths = torch.tensor([len(c.ids) for group in groups for c in group.completions])
    assert len(set(lengths.tolist())) > 2
    expected = {
        "tokens": rows.sum() / lengths.sum(),
        "sequences": (rows / lengths).mean(),
        "constant": rows.sum() / (16 * 48),
    }[denominator]
    assert_same_gradient(found, gradient_of(policy, expected))


def test_cut_completions_leave_the_update_and_stay_in_the_statistics_of_their_group(tmp_path):
    cut_at = {"max_tokens": 16}
    (found,), metrics = gradients(tmp_path, truncated="mask", **cut_at, **PLAIN)
    (kept,), _ = gradients(tmp_path, **cut_at, **PLAIN)
    policy, groups = first_rollout(tmp_path, **cut_at)
    finished = torch.tensor([c.finished for group in groups for c in group.completions])
    assert finished.tolist() == [True, True, False, True] * 4
    assert metrics["train/truncated"] == 0.25
    # The third is right, unless more than its end token is cut off.
    whole = [float(group.completions[2].text.endswith("</answer>")) for group in groups]
    assert 1.0 in whole
    rewards = torch.tensor([[1.0, 0.0, third, 0.0] for third in whole])
    advantages = (rewards - rewards.mean(-1, keepdim=True)).flatten()
    rows = -(advantages[:, None] * policy.logprobs(groups).values_N_T).sum(-1)
    lengths = torch.tensor([len(c.ids) for group in groups for c in group.completions])
    masked = rows[finished].sum() / lengths[finished].sum()
    assert_same_gradient(found, gradient_of(policy, masked))
    rows = -(advantages[:, None] * policy.logprobs(groups).values_N_T).sum(-1)
    assert_same_gradient(kept, gradient_of(policy, rows.sum() / lengths.sum()))


def test_a_rollout_of_cut_completions_only_is_masked_whole(tmp_path):
    seen, metrics = gradients(tmp_path, truncated="mask", max_tokens=3, kl=K3(), steps=2)
    assert [len(gradient) for gradient in seen] == [0, 0]
    assert metrics["train/truncated"] == 1


@pytest.mark.parametrize(
    "correction", [Correction(cap=1.5), Correction("sequence", "mask", cap=4.0, floor=0.5)], ids=str
)
def test_the_policy_loss_is_weighted_where_sampler_and_trainer_differ(drawn, tmp_path, correction):
    (found,), metrics = gradients(tmp_path, engine=Drawn(), correction=correction, **PLAIN)
    policy, groups = drawn
    values = policy.logprobs(groups)
    drawn_N_T = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(c.logprobs) for group in groups for c in group.completions], batch_first=True
    )
    gap = values.values_N_T.detach() - drawn_N_T
    weights = gap.exp() if correction.level == "token" else gap.sum(-1, keepdim=True).exp().expand_as(gap)
    cut = (weights > correction.cap) | (weights < correction.floor)
    weights = weights.masked_fill(cut, 0.0) if correction.mode == "mask" else weights.clamp(max=1.5)
    assert 0 < int(cut[values.mask_N_T].sum()) < int(values.mask_N_T.sum())
    advantages = torch.tensor([0.5, -0.5, 0.5, -0.5] * 4)
    loss = -(weights * advantages[:, None] * values.values_N_T).sum() / values.mask_N_T.sum()
    assert_same_gradient(found, gradient_of(policy, loss))
    for name, expected in (("weight", weights), ("cut", cut)):
        figure = float(metrics[f"zoom_update/correction_{name}"])
        assert figure == pytest.approx(float(expected[values.mask_N_T].double().mean()), rel=1e-5)
    assert float(metrics["train/sampler_gap"]) == pytest.approx(
        float(gap[values.mask_N_T].abs().mean()), rel=1e-4
    )


def test_the_entropy_bonus_takes_the_entropy_from_the_loss(rollout, tmp_path):
    (without,), metrics = gradients(tmp_path, **PLAIN)
    (found,), _ = gradients(tmp_path, entropy_bonus=0.3, **PLAIN)
    policy, groups = rollout
    seen = policy.logprobs(groups, entropy_gradients=True)
    entropy = seen.entropy_N_T.sum() / seen.mask_N_T.sum()
    assert float(metrics["train/entropy"]) == pytest.approx(float(entropy.detach()), rel=1e-5)
    bonus = gradient_of(policy, -0.3 * entropy)
    # What is left of a difference is as far off as both its terms are.
    lost = float((found.norm() + without.norm()) / bonus.norm())
    assert_same_gradient(found - without, bonus, GRADIENT * lost)
    assert bonus.norm() > 0.01
    (alone,), _ = gradients(tmp_path, texts=[RIGHT], entropy_bonus=0.3, **PLAIN)
    assert alone.norm() > 0.001  # a group whose advantages are 0 still has an entropy


def test_groups_without_signal_do_not_enter_the_denominator(tmp_path):
    """All right and all alike: no gradient, and the optimizer is still stepped once a rollout."""
    seen, metrics = gradients(
        tmp_path, texts=[RIGHT], steps=2, weighting=Uniform(), rewards={"accuracy": Accuracy()}
    )
    assert [len(gradient) for gradient in seen] == [0, 0]
    assert metrics["train/zero_signal"] == 1
    assert "train/entropy" not in metrics
    for options in ({"kl": K3()}, {"kl": K1()}, {"entropy_bonus": 0.1}):
        seen, metrics = gradients(tmp_path, texts=[RIGHT], **PLAIN, **options)
        assert len(seen[0]) > 0  # a term of the loss is left
        assert "train/entropy" in metrics


class HalfRight(ScriptedEngine):
    """Answers every second prompt right each time: longer groups that teach nothing."""

    def generate(self, prompts, sampling):
        right = ScriptedEngine([RIGHT.replace(" 1 <", " 1 2 3 4 5 6 <")])
        right.start(self._policy)
        groups = super().generate(prompts, sampling)
        groups[1::2] = right.generate(prompts[1::2], sampling)
        self.tokens = [group.tokens for group in groups]
        return groups


def test_kept_groups_without_signal_dilute_the_gradient(tmp_path):
    engine = HalfRight(MIXED)
    dropped, _ = gradients(tmp_path, engine=engine)
    kept, _ = gradients(tmp_path, engine=engine, zero_signal="keep")
    share = sum(engine.tokens[0::2]) / sum(engine.tokens)
    assert 0.2 < share < 0.8
    assert_same_gradient(kept[0], dropped[0] * share)
    silent, _ = gradients(tmp_path, texts=[WRONG], zero_signal="keep")
    assert len(silent[0]) > 0
    assert not silent[0].any()
