"""``observer predict`` and ``trainer.predict``: completions of any rows with verdicts, each row once."""

import json
import os
import subprocess
import sys

import pytest
import torch

import runs
from documented import blocks
from observer.callbacks import AtomicCheckpointIO, Predictions
from observer.cli import main
from observer.data import Tiles
from observer.learner import ObserveLearner, held_out_sampling
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from scoring import ROOT

QUICK = ["--config", str(ROOT / "configs" / "quickstart.yaml"), "--model.policy.path", runs.CHECKPOINT]
FIELDS = (
    "id level question answer index text tokens finish_reason verdict reason extracted formatted components "
    "reward bonus prompt kind metadata"
)


def large(parameters):
    return torch.optim.AdamW(parameters, lr=0.02)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def predict(folder, output, *words):
    return main(
        [
            "predict",
            *QUICK,
            "--run_dir",
            str(folder / "run"),
            "--output",
            str(output),
            "--data.test.rows",
            "9",
            *words,
        ]
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The checkpoint of a policy that is other than the shipped one."""
    folder = tmp_path_factory.mktemp("trained")
    learner = runs.learner(optimizer=large, entropy_bonus=1.0)  # has a gradient whatever is drawn
    trainer = runs.trainer(folder, 1)
    trainer.fit(learner, datamodule=runs.data_module(prompts_per_step=2, val=None, test=None))
    trainer.save_checkpoint(folder / "one.ckpt", weights_only=False)
    return folder / "one.ckpt"


def test_the_file_holds_what_the_loaded_learner_answers(checkpoint, tmp_path, capsys):
    words = ["--ckpt_path", str(checkpoint), "--data.eval_batch", "4", "--model.max_tokens", "48"]
    assert predict(tmp_path, tmp_path / "out" / "p.jsonl", *words) == 0
    written = lines(tmp_path / "out" / "p.jsonl")
    assert [list(record) for record in written] == [FIELDS.split()] * 9, "each is the first of its row"
    problems = list(Tiles(rows=9, split="test").read())
    scored = ObserveLearner.load_from_checkpoint(checkpoint).answer(problems)
    for record, problem, group, (score,) in zip(written, problems, scored.groups, scored.scores, strict=True):
        assert record["id"] == problem.id
        assert record["text"] == group.completions[0].text
        assert record["verdict"] == str(score.verdict)
    right = sum(record["verdict"] == "correct" for record in written)
    assert f"9 completions: accuracy {right / 9:.3f}" in capsys.readouterr().out
    assert os.listdir(tmp_path / "out") == ["p.jsonl"]
    untrained = tmp_path / "untrained.jsonl"
    assert predict(tmp_path, untrained, "--model.max_tokens", "48") == 0
    assert [record["text"] for record in lines(untrained)] != [record["text"] for record in written]


@pytest.mark.whole
def test_the_examples_of_the_page_answer_alike(checkpoint):
    found = {}
    for example in blocks("docs/predict.md", "python"):
        exec(compile(example, "docs/predict.md", "exec"), found)
    greedy, sampled = found["answers"](checkpoint)
    assert [len(group.completions) for group in sampled.groups] == [4] * 8
    verdicts = [str(score.verdict) for row in greedy.scores for score in row]
    assert found["records"](checkpoint) == verdicts


@pytest.mark.whole
def test_samples_are_scored_and_browsed_as_they_were_written(tmp_path, capsys):
    words = ["--samples", "3", "--temperature", "1", "--pictures", "true"]
    output = tmp_path / "sampled.jsonl"
    assert predict(tmp_path, output, *words, "--model.max_tokens", "20") == 0
    written = lines(output)
    assert {record["finish_reason"] for record in written} == {"stop", "length"}
    for record in written:
        assert ("prompt" in record) == ("pictures" in record) == (record["index"] == 0)
    assert main(["browse", str(output)]) == 0
    assert "9 groups, 9 pictures; the file holds 9 groups" in capsys.readouterr().out
    assert "Completions of sampled.jsonl" in (tmp_path / "sampled.html").read_text()
    again = tmp_path / "scored.jsonl"
    assert main(["score", *QUICK[:2], "--input", str(output), "--output", str(again)]) == 0
    for record, scored in zip(written, lines(again), strict=True):
        same = ("id", "index", "verdict", "reason", "extracted", "formatted")
        assert [scored[name] for name in same] == [record[name] for name in same]
        assert scored["length"] == record["tokens"]
        assert scored["components"] == pytest.approx(record["components"], abs=1e-6)
        assert scored["reward"] == pytest.approx(record["reward"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "exists; name a file that does not"),
        (("--samples", "4"), "samples is 4 at temperature 0, where all are the same"),
        (("--samples", "0", "--temperature", "1"), "samples is 0"),
        (("--temperature", "-1"), "temperature is -1"),
        (("--ckpt_path", "best"), "there is no file"),
        (("--pictures", "true", "--format", "lmms-eval"), "--pictures is true and --format is lmms-eval"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(tmp_path, capsys, monkeypatch, words, why):
    output = tmp_path / "p.jsonl"
    if not words:
        output.write_text("mine")
    monkeypatch.setattr(ObserveLearner, "configure_model", lambda self: pytest.fail("weights are loaded"))
    assert predict(tmp_path, output, *words) == 2
    assert why in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ([] if words else ["p.jsonl"])
    assert words or output.read_text() == "mine"


def predicting(folder, callbacks=(), **data):
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    trainer = runs.lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=list(callbacks),
    )
    return learner, trainer, runs.data_module(train=None, **data)


def test_the_trainer_returns_a_list_of_records_per_batch(tmp_path):
    learner, trainer, data = predicting(tmp_path, predict=Tiles(rows=10), eval_batch=4)
    batches = trainer.predict(learner, datamodule=data)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert {record["verdict"] for batch in batches for record in batch} == {"correct"}
    learner.prediction = held_out_sampling(learner.sampling, samples=4, temperature=1.0)
    batches = trainer.predict(learner, datamodule=data)
    assert [[record["index"] for record in batch] for batch in batches][2] == [0, 1, 2, 3] * 2
    assert [record["verdict"] for record in batches[0][:4]] == ["correct", "wrong", "correct", "wrong"]


def test_the_rows_are_those_of_predict_else_of_test_else_of_val(tmp_path):
    splits = {
        "predict": Tiles(rows=11),
        "test": Tiles(rows=9, split="test"),
        "val": Tiles(rows=8, split="val"),
    }
    counted = []
    while splits:
        options = {"predict": None, "test": None, "val": None, **splits}
        learner, trainer, data = predicting(tmp_path, **options)
        counted.append(sum(map(len, trainer.predict(learner, datamodule=data))))
        del splits[next(iter(splits))]
    assert counted == [11, 9, 8]
    learner, trainer, data = predicting(tmp_path, predict=None, test=None, val=None)
    with pytest.raises(RefusedError, match=r"data.predict is not set"):
        trainer.predict(learner, datamodule=data)


def test_rows_that_are_only_predicted_are_no_part_of_what_a_run_depends_on(tmp_path):
    learner, trainer, data = predicting(tmp_path, predict=Tiles(rows=10), test=None)
    trainer.predict(learner, datamodule=data)
    assert list(data.rows) == ["predict"]
    assert data.digests == {}


class Breaks(runs.lightning.Callback):
    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 1:
            raise KeyError("on its way")


def test_a_predict_that_breaks_off_leaves_nothing(tmp_path):
    output = tmp_path / "p.jsonl"
    learner, trainer, data = predicting(tmp_path, [Breaks(), Predictions(output)], eval_batch=4)
    with pytest.raises(KeyError, match="on its way"):
        trainer.predict(learner, datamodule=data)
    assert not list(tmp_path.glob("*.jsonl"))
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(tmp_path):
    script = tmp_path / "observer_command.py"
    main_guard = "if __name__ == '__main__':\n    raise SystemExit(main())\n"
    script.write_text(f"from observer.cli import main\n{main_guard}")
    files = []
    for ranks in ("1", "2"):
        files.append(tmp_path / f"{ranks}.jsonl")
        words = ["predict", *QUICK, "--run_dir", str(tmp_path / "run"), "--output", str(files[-1])]
        words += ["--data.test.rows", "9", "--data.eval_batch", "2", "--samples", "2", "--temperature", "1"]
        done = subprocess.run(
            [sys.executable, str(script), *words, "--trainer.devices", ranks],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(lines(files[0])) == 18
    assert files[0].read_bytes() == files[1].read_bytes()
