"""Runs that draw with vLLM: training, evaluation and going on, through the commands and in Python."""

import json
import os
import signal
import socket
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
from processes import HUNG
from scoring import ROOT
from test_chaos import SMALL as FEW
from test_chaos import assert_whole, complete, rollouts_logged, start, wait_for

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


def drawn(run_dir):
    """The rows of a run in their order, and the completion of each."""
    lines = [json.loads(line) for line in (run_dir / "completions.jsonl").read_text().splitlines()]
    rows = [(line["step"], line["id"], line["index"]) for line in lines]
    return rows, [line["text"] for line in lines]


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_with_the_same_rows(tmp_path, in_the_repository):
    unbroken, run_dir, engine = tmp_path / "unbroken", tmp_path / "run", ["--model.engine", "VLLM"]
    words = ["--config", "quickstart", *engine, *FEW, "--trainer.max_steps", "12"]
    assert main(["fit", *words, "--run_dir", str(unbroken)]) == 0
    process = start(run_dir, 12, *engine)
    try:
        wait_for(process, run_dir, lambda: rollouts_logged(run_dir) >= 5)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert_whole(run_dir)
    assert complete(run_dir, 12, *engine, "--ckpt_path", "last")["steps"] == 12
    (rows, texts), (expected, others) = drawn(run_dir), drawn(unbroken)
    assert rows == expected
    assert {step for step, _, _ in rows} == set(range(12))
    same = sum(map(str.__eq__, texts, others))
    print(f"{same} of {len(texts)} completions are those of the unbroken run")  # the engine promises none


@pytest.mark.slow
def test_the_quickstart_gains_twelve_points(tmp_path, in_the_repository):
    words = ["--config", "quickstart", "--model.engine", "VLLM", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *words]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"], summary["problems"]) == ("complete", 60, 1024)
    assert summary["accuracy_after"] - summary["accuracy_before"] >= 0.12
    assert summary["sampled_after"] - summary["sampled_before"] >= 0.12


def test_two_ranks_draw_with_the_newest_weights_and_not_before_a_sync(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    files = [tmp_path / f"{rank}.json" for rank in range(2)]
    script = [sys.executable, str(ROOT / "tests" / "helpers" / "vllm_ranks.py")]
    ranks = [
        subprocess.Popen([*script, str(rank), port, str(file)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank, file in enumerate(files)
    ]
    said = [process.communicate(timeout=HUNG)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    found = [json.loads(file.read_text()) for file in files]
    assert found[0].pop("prompts") != found[1].pop("prompts")
    for one in found:
        assert one.pop("first") < 1e-4
        for before, after in one.values():
            assert before > 0.1
            assert after < 1e-4


def test_each_of_two_ranks_draws_from_a_copy_of_its_own(tmp_path):
    words = ["fit", "--config", "quickstart", *SMALL, "--run_dir", str(tmp_path), "--trainer.max_steps", "2"]
    ranks = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.log_every_n_steps", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "observer", *words, *ranks], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    curves = EventAccumulator(str(tmp_path))
    curves.Reload()
    gaps = [event.value for event in curves.Scalars("train/sampler_gap")]
    assert len(gaps) == 2
    assert 0 < max(gaps) < 1e-5
