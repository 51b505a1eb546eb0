"""The update: what it divides by, what it leaves out, and what it does with numbers that are none."""

import json
import math
import threading
from dataclasses import replace

import pytest
import torch

import runs
from observer.data import Tiles
from observer.module import PolicyModule
from observer.objective import (
    CISPO,
    K1,
    K2,
    K3,
    SAPO,
    Correction,
    GroupMean,
    PPOClip,
    Uniform,
)
from observer.policy import Policy
from observer.rewards import Accuracy, Observe
from observer.rollout import Engine, ScriptedEngine, TransformersEngine
from observer.types import RefusedError
from runs import MIXED, RIGHT, WRONG


class Gradients(torch.optim.SGD):
    """Keeps the gradient of each step it is asked to take, and takes none."""

    seen: list  # set by each test

    def step(self, closure=None):
        closure and closure()
        tensors = [
            p.grad.detach().clone().flatten()
            for g in self.param_groups
            for p in g["params"]
            if p.grad is not None
        ]
        type(self).seen.append(torch.cat(tensors) if tensors else torch.zeros(0))


PLAIN = {"weighting": Uniform(), "advantage": GroupMean(), "rewards": {"accuracy": Accuracy()}}


class Drawn(Engine):
    """Says the script of ``MIXED`` as if drawn by a policy whose log-probs are a little off."""

    weights = "shared"

    def __init__(self):
        self.script = ScriptedEngine(MIXED)

    def start(self, policy):
        self.policy = policy
        self.script.start(policy)

    def sync(self, named_tensors, version):
        self.version = version

    def generate(self, prompts, sampling):
        groups = self.script.generate(prompts, sampling)
        with torch.no_grad():
            own_N_T = self.policy.logprobs(groups, with_entropy=False).values_N_T
        noise = 0.4 * torch.randn(own_N_T.shape, generator=torch.Generator().manual_seed(0))
        rows = iter((own_N_T + noise).tolist())
        return [
            replace(
                group,
                completions=tuple(
                    replace(c, logprobs=tuple(next(rows)[: len(c.ids)])) for c in group.completions
                ),
            )
            for group in groups
        ]


def first_rollout(tmp_path, engine=None, **options):
    """The policy of a fresh run and the groups of its first rollout."""
    learner = runs.learner(engine=engine or ScriptedEngine(MIXED), **options)
    data = runs.ladder()
    data.setup("fit")
    learner.configure_model()
    data.admit(learner.renderer, learner.rubric.verifier, tmp_path)
    problems = [data.rows["train"][row] for row in data.draw(0)]
    groups = learner.engine.generate(learner.renderer.render(problems), learner.sampling(4, 0))
    return learner.policy, groups


def gradient_of(policy, loss):
    policy.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


def gradients(tmp_path, texts=MIXED, steps=1, data=None, **options):
    """The gradients that a run's optimizer steps were given, same completions whatever the options."""
    Gradients.seen = []
    learner = runs.learner(
        **{
            "engine": ScriptedEngine(texts),
            "optimizer": lambda p: Gradients(p, lr=1.0),
            "gradient_clip": None,
            **options,
        }
    )
    trainer = runs.trainer(tmp_path / f"run-{len(list(tmp_path.iterdir()))}", steps)
    trainer.fit(learner, datamodule=runs.ladder(val=None, test=None, **(data or {})))
    return Gradients.seen, trainer.callback_metrics


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
def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path, options):  # S13
    (whole,), _ = gradients(tmp_path, micro_batch=16, engine=Drawn(), **options)
    for size in (1, 3, 4):
        (cut,), _ = gradients(tmp_path, micro_batch=size, engine=Drawn(), **options)
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)
    assert whole.norm() > 0.003


def test_rewards_stay_with_their_completions_where_micro_batches_do_not_divide_them(tmp_path):  # S17
    """9 completions of 3 groups in micro-batches of 4: the release paired rewards with other sequences."""
    options = {"group_size": 3, "data": {"prompts_per_step": 3}}
    (whole,), _ = gradients(tmp_path, micro_batch=9, **options)
    (cut,), _ = gradients(tmp_path, micro_batch=4, **options)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)
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
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


def test_by_micro_batch_each_is_divided_by_its_own_tokens(tmp_path):
    one, _ = gradients(tmp_path, micro_batch=16, denominator="micro_batch")
    all_tokens, _ = gradients(tmp_path, micro_batch=16)
    torch.testing.assert_close(one[0], all_tokens[0])
    several, _ = gradients(tmp_path, micro_batch=3, denominator="micro_batch")
    assert not torch.allclose(several[0], all_tokens[0], rtol=1e-2)


@pytest.mark.parametrize("loss", [PPOClip(), PPOClip(level="sequence", dual=3.0), CISPO(), SAPO()], ids=str)
@pytest.mark.parametrize("denominator", ["tokens", "sequences", "constant"])
def test_the_gradient_is_that_of_the_formula(tmp_path, loss, denominator):
    """Written out: sums over tokens of -A log p, over what the denominator says."""
    (found,), _ = gradients(tmp_path, loss=loss, denominator=denominator, **PLAIN)
    policy, groups = first_rollout(tmp_path)
    advantages = torch.tensor([0.5, -0.5, 0.5, -0.5] * 4)
    rows = -(advantages[:, None] * policy.logprobs(groups).values_N_T).sum(-1)
    lengths = torch.tensor([len(c.ids) for group in groups for c in group.completions])
    assert len(set(lengths.tolist())) > 2
    expected = {
        "tokens": rows.sum() / lengths.sum(),
        "sequences": (rows / lengths).mean(),
        "constant": rows.sum() / (16 * 48),
    }[denominator]
    torch.testing.assert_close(found, gradient_of(policy, expected), rtol=1e-4, atol=1e-6)


def test_cut_completions_leave_the_update_and_stay_in_the_statistics_of_their_group(tmp_path):  # S14
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
    torch.testing.assert_close(found, gradient_of(policy, masked), rtol=1e-4, atol=1e-6)
    rows = -(advantages[:, None] * policy.logprobs(groups).values_N_T).sum(-1)
    torch.testing.assert_close(kept, gradient_of(policy, rows.sum() / lengths.sum()), rtol=1e-4, atol=1e-6)


def test_a_rollout_of_cut_completions_only_is_masked_whole(tmp_path):  # S14
    seen, metrics = gradients(tmp_path, truncated="mask", max_tokens=3, kl=K3(), steps=2)
    assert [len(gradient) for gradient in seen] == [0, 0]
    assert metrics["train/truncated"] == 1


@pytest.mark.parametrize(
    "correction", [Correction(cap=1.5), Correction("sequence", "mask", cap=4.0, floor=0.5)], ids=str
)
def test_the_policy_loss_is_weighted_where_sampler_and_trainer_differ(tmp_path, correction):  # S15
    (found,), metrics = gradients(tmp_path, engine=Drawn(), correction=correction, **PLAIN)
    policy, groups = first_rollout(tmp_path, Drawn())
    values = policy.logprobs(groups)
    drawn = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(c.logprobs) for group in groups for c in group.completions], batch_first=True
    )
    gap = values.values_N_T.detach() - drawn
    weights = gap.exp() if correction.level == "token" else gap.sum(-1, keepdim=True).exp().expand_as(gap)
    cut = (weights > correction.cap) | (weights < correction.floor)
    weights = weights.masked_fill(cut, 0.0) if correction.mode == "mask" else weights.clamp(max=1.5)
    assert 0 < int(cut[values.mask_N_T].sum()) < int(values.mask_N_T.sum())
    advantages = torch.tensor([0.5, -0.5, 0.5, -0.5] * 4)
    loss = -(weights * advantages[:, None] * values.values_N_T).sum() / values.mask_N_T.sum()
    torch.testing.assert_close(found, gradient_of(policy, loss), rtol=1e-4, atol=1e-6)
    for name, expected in (("weight", weights), ("cut", cut)):
        figure = float(metrics[f"train/correction_{name}"])
        assert figure == pytest.approx(float(expected[values.mask_N_T].double().mean()), rel=1e-5)
    assert float(metrics["train/sampler_gap"]) == pytest.approx(
        float(gap[values.mask_N_T].abs().mean()), rel=1e-4
    )


def test_the_entropy_bonus_takes_the_entropy_from_the_loss(tmp_path):
    (without,), metrics = gradients(tmp_path, **PLAIN)
    (found,), _ = gradients(tmp_path, entropy_bonus=0.3, **PLAIN)
    policy, groups = first_rollout(tmp_path)
    seen = policy.logprobs(groups, entropy_gradients=True)
    entropy = seen.entropy_N_T.sum() / seen.mask_N_T.sum()
    assert float(metrics["train/entropy"]) == pytest.approx(float(entropy.detach()), rel=1e-5)
    bonus = gradient_of(policy, -0.3 * entropy)
    torch.testing.assert_close(found - without, bonus, rtol=1e-3, atol=1e-5)
    assert bonus.norm() > 0.01
    (alone,), _ = gradients(tmp_path, texts=[RIGHT], entropy_bonus=0.3, **PLAIN)
    assert alone.norm() > 0.001  # a group whose advantages are 0 still has an entropy


def test_groups_without_signal_do_not_enter_the_denominator(tmp_path):  # S8
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
    torch.testing.assert_close(kept[0], dropped[0] * share, rtol=1e-4, atol=1e-6)
    silent, _ = gradients(tmp_path, texts=[WRONG], zero_signal="keep")
    assert len(silent[0]) > 0
    assert not silent[0].any()


def test_updates_per_rollout_cut_the_groups_into_equal_parts_of_one_step_each(tmp_path):
    seen, _ = gradients(tmp_path, steps=4, updates_per_rollout=2)
    assert len(seen) == 4
    parts = runs.learner(updates_per_rollout=2).parts(6, step=3)
    assert sorted(parts[0] + parts[1]) == list(range(6))
    assert len(parts[0]) == len(parts[1]) == 3
    assert parts == runs.learner(updates_per_rollout=2).parts(6, step=3)
    assert any(parts != runs.learner(updates_per_rollout=2).parts(6, step=step) for step in range(4))


def test_old_logprobs_are_those_before_the_first_update(tmp_path):
    """After a large step the other half of the rollout is clipped: its ratio is against what drew it."""
    learner = runs.learner(
        updates_per_rollout=2, engine=ScriptedEngine(MIXED), optimizer=runs.sgd, loss=PPOClip(0.01, 0.01)
    )
    trainer = runs.trainer(tmp_path, 2)
    trainer.fit(learner, datamodule=runs.ladder(val=None, test=None))
    assert trainer.callback_metrics["train/clip_share"] > 0


@pytest.mark.parametrize(
    "kl",
    [K3(0.5), K2(0.5), K1(0.5)],
    ids=["k3 in the loss", "k2 in the loss", "k1 in the reward"],
)
def test_the_kl_term_holds_the_policy_near_the_reference(kl, tmp_path):  # S12
    def drift(folder, kl):
        learner = runs.learner(engine=ScriptedEngine(MIXED), optimizer=runs.sgd, kl=kl)
        before = {name: value.clone() for name, value in learner_weights(learner).items()}
        trainer = runs.trainer(tmp_path / folder, 6)
        trainer.fit(learner, datamodule=runs.ladder(val=None, test=None))
        moved = sum((value - before[name]).norm() ** 2 for name, value in learner.policy.state_dict().items())
        return math.sqrt(moved), trainer.callback_metrics

    free, _ = drift("free", None)
    held, metrics = drift("held", kl)
    assert held < free
    assert metrics["train/kl"] != 0


def learner_weights(learner):
    learner.configure_model() if not hasattr(learner, "policy") else None
    return learner.policy.state_dict()


def test_no_reference_is_loaded_without_a_kl_term_and_none_is_saved_with_one(tmp_path):
    learner = runs.learner()
    runs.trainer(tmp_path / "a", 1).fit(learner, datamodule=runs.ladder(val=None, test=None))
    assert learner._reference is None
    learner = runs.learner(kl=K3())
    runs.trainer(tmp_path / "b", 1).fit(learner, datamodule=runs.ladder(val=None, test=None))
    assert learner._reference is not None
    assert not any("reference" in name for name in learner.state_dict())


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_what_is_needed_to_look_into_it(poison, tmp_path):
    class Broken(PPOClip):
        def __call__(self, *tokens):
            loss_N_T, clipped_N_T = super().__call__(*tokens)
            return loss_N_T * poison, clipped_N_T

    learner = runs.learner(engine=ScriptedEngine(MIXED), loss=Broken())
    with pytest.raises(FloatingPointError, match=r"step 0: the gradient norm is .*failure"):
        runs.trainer(tmp_path, 2).fit(learner, datamodule=runs.ladder())
    saved = torch.load(tmp_path / "failure" / "step-000000-rank-0" / "rollout.pt", weights_only=True)
    assert len(saved["rows"]) == 4
    assert saved["texts"][0][1] == WRONG
    assert (tmp_path / "failure" / "step-000000-rank-0" / "policy" / "model.safetensors").is_file()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "the gradient norm is" in summary["error"]
    assert len(saved["gradients_not_finite"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 1}, "group_size is 1.*at least 2"),
        ({"updates_per_rollout": 0}, "updates_per_rollout is 0"),
        ({"micro_batch": 0}, "micro_batch is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"min_tokens": 99}, "min_tokens is 99, above max_tokens 48"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"gradient_clip": -1.0}, "gradient_clip is -1.0"),
        ({"advantage_clip": 0.0}, "advantage_clip is 0.0"),
        ({"entropy_bonus": -0.1}, "entropy_bonus is -0.1; it must be >= 0 and finite"),
        ({"entropy_bonus": math.nan}, "entropy_bonus is nan"),
        ({"combine": "sum"}, "combine is 'sum'; it must be one of sum_then_normalise, normalise_then_sum"),
        ({"zero_signal": "mask"}, "zero_signal is 'mask'; it must be one of drop, keep"),
        ({"truncated": "drop"}, "truncated is 'drop'; it must be one of keep, mask"),
        ({"denominator": "token"}, "denominator is 'token'; it must be one of tokens, micro_batch, seq"),
        ({"rewards": {}}, "mapping is empty"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_loaded(options, message):
    with pytest.raises(RefusedError, match=message):
        runs.learner(**options)


@pytest.mark.parametrize(
    ("options", "data", "steps", "message"),
    [
        ({"updates_per_rollout": 3}, {}, 3, "4 prompts a rank do not divide into updates_per_rollout 3"),
        ({"updates_per_rollout": 2}, {}, 3, "max_steps 3.*no multiple of updates_per_rollout 2"),
        ({}, {"prompts_per_step": 65}, 1, "64 rows, fewer than prompts_per_step 65"),
        ({}, {"train": None}, 1, r"data.train is not set"),
        ({"max_prompt_tokens": 20}, {}, 1, r"tiles-train-0.*29 tokens, more than max_prompt_tokens 20"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(options, data, steps, message, tmp_path):
    with pytest.raises(RefusedError, match=message):
        runs.trainer(tmp_path, steps).fit(runs.learner(**options), datamodule=runs.ladder(**data))


def test_half_precision_with_loss_scaling_is_refused():
    learner, trainer = runs.learner(), type("Trainer", (), {"precision": "16-mixed"})()
    trainer.datamodule = runs.ladder()
    learner._trainer = trainer
    with pytest.raises(RefusedError, match=r"16-mixed.*bf16-mixed"):
        PolicyModule.setup(learner, "fit")


def test_rollouts_use_the_newest_weights_also_after_validation(tmp_path):  # S15
    """The engine holds the version of each rollout; log-probs drawn with are those trained with."""
    versions = []

    class Watched(TransformersEngine):
        def generate(self, prompts, sampling):
            versions.append((sampling.step, self.version))
            return super().generate(prompts, sampling)

    trainer = runs.trainer(tmp_path, 3)
    data = runs.ladder(steps_per_epoch=1, test=None)
    trainer.fit(runs.learner(engine=Watched(), optimizer=runs.sgd), datamodule=data)
    rollouts = [(step, version) for step, version in versions if step >= 0]
    assert rollouts == [(0, 0), (1, 1), (2, 2)]
    assert {version for step, version in versions if step < 0} >= {1, 2, 3}
    assert trainer.callback_metrics["train/sampler_gap"] < 1e-4


def test_the_prompts_of_the_next_step_are_prepared_during_a_step_and_draw_the_same(tmp_path, monkeypatch):
    def run(folder, ahead):
        learner, data, renders = runs.learner(), runs.ladder(steps_per_epoch=1, test=None), []
        render = learner.renderer._render

        def noted(problems):
            thread = threading.current_thread().name.partition("_")[0]
            renders.append((thread, problems[0].source))
            return render(problems)

        learner.renderer._render = noted
        monkeypatch.setattr(type(learner), "renders_ahead", ahead)
        runs.trainer(tmp_path / folder, 3).fit(learner, datamodule=data)
        lines = (tmp_path / folder / "completions.jsonl").read_text()
        return lines, learner.policy.state_dict(), renders, data

    def threads(renders, split):
        return [thread for thread, name in renders if name == data.rows[split][0].source]

    lines, weights, renders, data = run("ahead", True)
    assert threads(renders, "train") == ["MainThread", "prompts", "prompts"]
    assert set(threads(renders, "val")) == {"MainThread"}  # between the steps, and disturbs nothing
    for step, count in ((1, 4), (2, 0)):
        data.step = step
        assert len(data.upcoming()) == count
    plain_lines, plain_weights, plain_renders, data = run("plain", False)
    assert threads(plain_renders, "train") == ["MainThread"] * 3
    assert lines == plain_lines
    assert all(torch.equal(value, plain_weights[name]) for name, value in weights.items())


def test_held_out_figures_are_the_same_each_time_they_are_measured(tmp_path):
    learner = runs.learner(optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    runs.trainer(tmp_path, 2).fit(learner, datamodule=runs.ladder(test=Tiles(rows=16, split="test")))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["problems"] == 16
    assert summary["accuracy_before"] == summary["accuracy_after"]
    assert summary["sampled_before"] == summary["sampled_after"]
    assert summary["by_level_before"] == summary["by_level_after"]
    assert set(summary["by_level_after"]) == {str(level) for level in range(1, 9)}


def test_the_response_format_gives_the_system_prompt():
    assert "<observe>" in runs.learner(response_format=Observe()).renderer.system_prompt
    assert runs.learner(response_format=Observe(system_prompt="")).renderer.system_prompt == ""
