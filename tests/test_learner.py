"""The update: what it divides by, what it leaves out, and what it does with numbers that are none."""

import json
import math
import threading
from typing import ClassVar

import pytest
import torch

import runs
from bounds import of_logprob
from experiments.controls.shuffled_rewards import ShuffledRewards
from gradients import gradients
from observer.callbacks import RunReport
from observer.data import Tiles
from observer.learner import ObserveLearner
from observer.objective import (
    K1,
    K2,
    K3,
    PPOClip,
    equal_parts,
)
from observer.rewards import Observe
from observer.rollout import ScriptedEngine, TransformersEngine
from observer.types import RefusedError
from runs import MIXED, WRONG


def test_updates_per_rollout_cut_the_groups_into_equal_parts_of_one_step_each(tmp_path):
    seen, _ = gradients(tmp_path, steps=4, updates_per_rollout=2)
    assert len(seen) == 4
    parts = equal_parts(6, 2, seed=3)
    assert sorted(parts[0] + parts[1]) == list(range(6))
    assert len(parts[0]) == len(parts[1]) == 3
    assert parts == equal_parts(6, 2, seed=3)
    assert any(parts != equal_parts(6, 2, seed=seed) for seed in range(4))


def test_old_logprobs_are_those_before_the_first_update(tmp_path):
    """After a large step the other half of the rollout is clipped: its ratio is against what drew it."""
    learner = runs.learner(
        updates_per_rollout=2, engine=ScriptedEngine(MIXED), optimizer=runs.sgd, loss=PPOClip(0.01, 0.01)
    )
    trainer = runs.trainer(tmp_path, 2)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    assert trainer.callback_metrics["zoom_update/clip_share"] > 0


def drift(folder, kl):
    """How far a run moves the weights, and its figures."""
    learner = runs.learner(engine=ScriptedEngine(MIXED), optimizer=runs.sgd, kl=kl)
    before = {name: value.clone() for name, value in learner_weights(learner).items()}
    trainer = runs.trainer(folder, 6)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    moved = sum((value - before[name]).norm() ** 2 for name, value in learner.policy.state_dict().items())
    return math.sqrt(moved), trainer.callback_metrics


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """The drift without a KL term."""
    return drift(tmp_path_factory.mktemp("free"), None)[0]


@pytest.mark.parametrize(
    "kl",
    [K3(0.5), K2(0.5), K1(0.5)],
    ids=["k3 in the loss", "k2 in the loss", "k1 in the reward"],
)
def test_the_kl_term_holds_the_policy_near_the_reference(free, kl, tmp_path):
    """In the loss or in the reward: the weights move less than without it."""
    held, metrics = drift(tmp_path, kl)
    assert held < free
    assert metrics["train/kl"] != 0


def learner_weights(learner):
    learner.configure_model() if not hasattr(learner, "policy") else None
    return learner.policy.state_dict()


def test_no_reference_is_loaded_without_a_kl_term_and_none_is_saved_with_one(tmp_path):
    few = {"val": None, "test": None, "prompts_per_step": 1}
    learner = runs.learner()
    runs.trainer(tmp_path / "a", 1).fit(learner, datamodule=runs.data_module(**few))
    assert learner._reference is None
    learner = runs.learner(kl=K3())
    runs.trainer(tmp_path / "b", 1).fit(learner, datamodule=runs.data_module(**few))
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
        runs.trainer(tmp_path, 2).fit(learner, datamodule=runs.data_module())
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
        runs.trainer(tmp_path, steps).fit(runs.learner(**options), datamodule=runs.data_module(**data))


def test_rollouts_use_the_newest_weights_also_after_validation(tmp_path):
    """The engine holds the version of each rollout; log-probs drawn with are those trained with."""
    versions = []

    class Watched(TransformersEngine):
        def generate(self, prompts, sampling):
            versions.append((sampling.step, self.version))
            return super().generate(prompts, sampling)

    trainer = runs.trainer(tmp_path, 3, limit_val_batches=1)
    data = runs.data_module(steps_per_epoch=1, test=None, eval_batch=2)
    # With the bonus every step moves the weights, also one whose groups are all right or all wrong.
    learner = runs.learner(engine=Watched(), optimizer=runs.sgd, entropy_bonus=0.1, max_tokens=16)
    trainer.fit(learner, datamodule=data)
    rollouts = [(step, version) for step, version in versions if step >= 0]
    assert rollouts == [(0, 0), (1, 1), (2, 2)]
    assert {version for step, version in versions if step < 0} >= {1, 2, 3}
    # Two float32 passes over the same weights are no farther apart; those of a step ago would be.
    assert trainer.callback_metrics["train/sampler_gap"] < 2 * of_logprob()


def test_the_prompts_of_the_next_step_are_prepared_during_a_step_and_draw_the_same(tmp_path, monkeypatch):
    def run(folder, ahead):
        learner = runs.learner(max_tokens=16, entropy_bonus=0.1)  # moves the weights, whatever is drawn
        data, renders = runs.data_module(steps_per_epoch=1, test=None, eval_batch=2), []
        render = learner.answerer.renderer._render

        def noted(problems):
            thread = threading.current_thread().name.partition("_")[0]
            renders.append((thread, problems[0].source))
            return render(problems)

        learner.answerer.renderer._render = noted
        monkeypatch.setattr(type(learner), "renders_ahead", ahead)
        runs.trainer(tmp_path / folder, 3, limit_val_batches=1).fit(learner, datamodule=data)
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
    data = runs.data_module(val=None, test=Tiles(rows=16, split="test"), prompts_per_step=1)
    runs.trainer(tmp_path, 1).fit(learner, datamodule=data)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["problems"] == 16
    assert summary["accuracy_before"] == summary["accuracy_after"]
    assert summary["sampled_before"] == summary["sampled_after"]
    assert summary["by_level_before"] == summary["by_level_after"]
    assert set(summary["by_level_after"]) == {str(level) for level in range(1, 9)}


@pytest.mark.whole
def test_a_run_that_is_not_measured_before_is_measured_after_alone(tmp_path, capsys):
    data = runs.data_module(val=None, test=Tiles(rows=8, split="test"), prompts_per_step=1)
    trainer = runs.trainer(tmp_path, 1)
    next(one for one in trainer.callbacks if isinstance(one, RunReport)).measure_before = False
    trainer.fit(runs.learner(), datamodule=data)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["problems"], summary["accuracy_before"], summary["by_level_before"]) == (8, None, {})
    assert summary["accuracy_after"] is not None
    assert json.loads((tmp_path / "curve.jsonl").read_text())["step"] == 1
    assert not (tmp_path / "heldout_before.parquet").exists()
    assert "0.0 " not in next(line for line in capsys.readouterr().out.splitlines() if "length" in line)


def test_the_response_format_gives_the_system_prompt():
    assert "<observe>" in runs.learner(response_format=Observe()).answerer.renderer.system_prompt
    assert runs.learner(response_format=Observe(system_prompt="")).answerer.renderer.system_prompt == ""


def test_the_control_deals_the_scores_out_anew_and_only_them(tmp_path):
    """The same scores, each once, to other completions: what a gain must not survive."""

    class Control(ShuffledRewards):
        seen: ClassVar[list] = []

        def weigh(self, groups, scores):
            own = ObserveLearner.score(self, groups, step=0)
            self.seen.append(([s for row in own for s in row], [s for row in scores for s in row]))
            return super().weigh(groups, scores)

    learner = runs.learner(Control, group_size=4, engine=ScriptedEngine(MIXED))
    runs.trainer(tmp_path, 2).fit(learner, datamodule=runs.data_module(val=None, test=None))
    for own, dealt in Control.seen:
        assert sorted(score.reward for score in own) == sorted(score.reward for score in dealt)
        assert own != dealt


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("rollout", "generate, score, weigh or resample"),
        ("chunk_loss", "micro_batch_loss"),
    ],
)
def test_a_subclass_that_overrides_a_former_method_is_refused_with_the_present_one(name, now):
    """It would train as if it were not there."""
    with pytest.raises(RefusedError, match=f"Mine.{name} is not called any more; override {now}"):
        type("Mine", (ObserveLearner,), {name: lambda self: None})
