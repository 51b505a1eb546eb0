"""Runs that draw with vLLM: training, evaluation and going on, through the commands and in Python."""

import json
import subprocess
import sys

import lightning
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runs
from engines import gap
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.data import Tiles
from observer.rollout import VLLM
from observer.run.checkpoints import newest_checkpoint
from observer.types import Sampling
from scoring import ROOT

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("vllm_engine")]
SMALL = [
    "--model.engine",
    "VLLM",
    "--data.prompts_per_step",
    "8",
    "--data.val.rows",
    "16",
    "--data.test.rows",
    "32",
]


class Gaps(lightning.Callback):
    """Keeps by step how far vLLM's log-probs were from the trainer's, on average over tokens."""

    def __init__(self):
        self.of = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        if "sampler_gap" in outputs["update"]:  # not where no group has a signal
            self.of[pl_module.data.step] = outputs["update"]["sampler_gap"]


def fit(folder, steps, ckpt_path=None):
    gaps, learner = Gaps(), runs.learner(engine=VLLM())
    trainer = runs.trainer(folder, steps, callbacks=[*checkpoint_callbacks(folder, 1, validates=True), gaps])
    trainer.fit(learner, datamodule=runs.data_module(test=None), ckpt_path=ckpt_path)
    lines = [json.loads(line) for line in (folder / "completions.jsonl").read_text().splitlines()]
    return trainer, learner, lines, gaps.of


def test_the_quickstart_runs_and_its_checkpoint_is_validated_and_predicts(tmp_path, in_the_repository):
    folder = tmp_path / "run"
    words = ["--config", "quickstart", *SMALL, "--run_dir", str(folder)]
    assert main(["fit", *words, "--trainer.max_steps", "10", "--data.steps_per_epoch", "5"]) == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("complete", 10)
    output = tmp_path / "predictions.jsonl"
    for command in (["validate"], ["test"], ["predict", "--output", str(output)]):
        assert main([*command, *words, "--ckpt_path", "last"]) == 0
    assert len(output.read_text().splitlines()) == 32


def test_all_steps_learn_from_log_probs_that_are_the_trainers_and_a_checkpoint_goes_on_with_the_same_rows(
    tmp_path,
):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    _, _, whole, gaps = fit(tmp_path / "whole", 4)
    assert len(gaps) > 1
    assert 0 < max(gaps.values()) < 1e-5
    fit(tmp_path / "parts", 2)
    _, _, parts, _ = fit(tmp_path / "parts", 4, newest_checkpoint(tmp_path / "parts"))

    def rows(lines):
        return [(line["step"], line["id"], line["index"]) for line in lines]

    assert rows(parts) == rows(whole)
    assert {line["step"] for line in parts} == {0, 1, 2, 3}


def test_after_a_fit_the_learner_answers_with_what_was_trained(tmp_path, fresh_policy):
    trainer, learner, _, _ = fit(tmp_path, 2)
    assert learner.answerer.engine.version == 2
    assert not learner.answerer.started
    trainer.test(learner, datamodule=runs.data_module(), verbose=False)
    assert 0 < trainer.callback_metrics["test/accuracy"] <= 1
    answered = learner.answer(Tiles(rows=8, split="test").read(), Sampling(2, max_tokens=16))
    assert gap(learner.policy, answered.groups) < 1e-4
    assert gap(fresh_policy(), answered.groups) > 1e-3


@pytest.mark.slow
def test_each_of_two_ranks_draws_from_a_copy_of_its_own(tmp_path):
    words = ["fit", "--config", "quickstart", *SMALL, "--run_dir", str(tmp_path), "--trainer.max_steps", "2"]
    ranks = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.log_every_n_steps", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "observer", *words, *ranks], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    curves = EventAccumulator(str(tmp_path))
    curves.Reload()
    gaps = [event.value for event in curves.Scalars("train/sampler_gap")]
    assert len(gaps) == 2
    assert 0 < max(gaps) < 1e-5
