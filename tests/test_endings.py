"""How a run ends, and what its summary says of it: its own configuration, the clock, a signal; and trials."""

import json
import signal
from datetime import timedelta

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, Timer

from documented import ROOT
from evaluated import evaluations
from observer.callbacks import RunReport, checkpoint_callbacks
from observer.callbacks.checkpoints import Last
from observer.cli import main
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from runs import MIXED, data_module, learner, trainer
from tiny_run import Log

pytestmark = [pytest.mark.filterwarnings("ignore:.*does not have many workers")]


class At(Callback):
    """Does something at the end of the n-th step of a process."""

    def __init__(self, count, act):
        self.count, self.act = count, act

    def on_train_batch_end(self, trainer, *_):
        self.count -= 1
        if not self.count:
            self.act(trainer)


def fit(run_dir, steps=6, callbacks=(), ckpt_path=None, export=False, data=None, **options):
    """Run and return (status, ended_by, steps, planned_steps) of its summary, and the learner."""
    data = data_module(**(data or {}))
    kept = checkpoint_callbacks(run_dir, 100, validates=data.formats["val"] is not None)
    run = trainer(run_dir, steps, callbacks=[*callbacks, *kept], **options)
    module = learner(engine=ScriptedEngine(MIXED))
    (report,) = [callback for callback in run.callbacks if isinstance(callback, RunReport)]
    report.export = export
    run.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return ended(run_dir), module


def ended(run_dir):
    summary = json.loads((run_dir / "summary.json").read_text())
    return tuple(summary[name] for name in ("status", "ended_by", "steps", "planned_steps"))


def stop(trainer):
    trainer.should_stop = True


def leave(trainer):
    raise SystemExit(128 + signal.SIGTERM)


def fail(trainer):
    raise FloatingPointError("not finite")


NEVER_BETTER = {"monitor": "val/accuracy", "mode": "max", "min_delta": 2.0, "patience": 0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"steps": 1}, ("complete", "max_steps", 1, 1)),
        ({"max_epochs": 1}, ("complete", "max_epochs", 2, 2)),
        ({"callbacks": [EarlyStopping(**NEVER_BETTER)]}, ("complete", "EarlyStopping", 4, 6)),
        (
            {"callbacks": [EarlyStopping(**NEVER_BETTER, check_on_train_epoch_end=False)]},
            ("complete", "EarlyStopping", 4, 6),
        ),
        ({"callbacks": [At(1, stop)]}, ("complete", "should_stop", 1, 6)),
        ({"callbacks": [At(3, leave)]}, ("interrupted", "SIGTERM", 3, 6)),
        ({"callbacks": [At(1, fail)]}, ("failed", "FloatingPointError", 1, 6)),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_the_summary_names_what_ended_a_run(tmp_path, options, expected):
    if expected[0] == "complete":
        assert fit(tmp_path, **options)[0] == expected
    else:
        with pytest.raises((SystemExit, FloatingPointError)):
            fit(tmp_path, **options)
        assert ended(tmp_path) == expected


@pytest.mark.whole
@pytest.mark.parametrize("validates", [True, False])
def test_a_run_that_was_stopped_inside_an_epoch_goes_on_inside_it(tmp_path, validates):
    data, last = {} if validates else {"val": None, "test": None}, tmp_path / "checkpoints" / "last.ckpt"
    (*_, steps, planned), _ = fit(tmp_path, -1, [At(3, stop)], data=data, max_epochs=3)
    assert (steps, planned) == (3, 6)
    log = Log()
    told, _ = fit(tmp_path, -1, ckpt_path=last, data=data, max_epochs=3, logger=log, log_every_n_steps=1)
    assert told == ("complete", "max_epochs", 6, 6)
    assert sorted({step for step, name in log.records if name.startswith("train/")}) == [3, 4, 5]


def use_up(trainer):
    """An hour passes."""
    (timer,) = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    timer._offset += 3600


@pytest.mark.whole
def test_a_run_out_of_time_is_measured_exported_and_goes_on_when_it_has_more(tmp_path, capfd):
    _, unbroken = fit(tmp_path / "unbroken", steps=4)
    run_dir, hour = tmp_path / "run", {"max_time": timedelta(hours=1)}
    told, _ = fit(run_dir, 4, [At(3, use_up)], export=True, **hour)
    assert told == ("stopped", "max_time", 3, 4)
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["accuracy_after"] is not None
    assert (run_dir / "export" / "config.json").is_file()
    assert "stopped by trainer.max_time after 3 of 4 steps" in capfd.readouterr().out
    last = run_dir / "checkpoints" / "last.ckpt"
    with pytest.raises(
        RefusedError, match=r"max_time is 1:00:00, and the run has trained for 1:00:0.*raise it"
    ):
        fit(run_dir, 4, ckpt_path=last, **hour)
    assert json.loads((run_dir / "summary.json").read_text()) == summary, "a refused resume changes nothing"
    told, resumed = fit(run_dir, 4, ckpt_path=last, max_time=timedelta(hours=3))
    assert told == ("complete", "max_steps", 4, 4)
    assert evaluations(run_dir) == evaluations(tmp_path / "unbroken"), "the end that was none is forgotten"
    trained = unbroken.state_dict()
    assert all(bool((value == trained[name]).all()) for name, value in resumed.state_dict().items())

    again, _ = fit(run_dir, 4, ckpt_path=last, max_time=timedelta(hours=3))
    assert again == told
    assert evaluations(run_dir) == evaluations(tmp_path / "unbroken"), "the same end, measured again"
    assert "nothing was left to train: trainer.max_steps is reached; raise it" in capfd.readouterr().out


QUICK = [
    *("fit", "--config", "configs/quickstart.yaml", "--data.steps_per_epoch", "4"),
    *("--data.prompts_per_step", "2", "--data.val.rows", "8", "--data.test.rows", "8"),
    *("--model.group_size", "2", "--model.max_tokens", "8", "--model.updates_per_rollout", "2"),
    "--trainer.callbacks+=lightning.pytorch.callbacks.Timer",
    "--trainer.callbacks.duration=00:01:00:00",
]


@pytest.mark.whole
def test_a_fast_dev_run_takes_whole_rollouts_and_leaves_the_run_directory_to_the_real_run(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_dir = ["--run_dir", str(tmp_path / "run")]
    assert main([*QUICK, *run_dir, "--trainer.fast_dev_run", "2"]) == 0
    assert not (tmp_path / "run").exists()
    assert f"{tmp_path / 'run'} stays as it is" in caplog.text
    (trial,) = tmp_path.glob("observer-fast-dev-run-*")
    assert ended(trial) == ("complete", "max_steps", 2, 2)
    steps = [json.loads(line)["step"] for line in (trial / "completions.jsonl").read_text().splitlines()]
    assert set(steps) == {0, 1}
    assert not {"export", "checkpoints", "tensorboard", "config.yaml"} & {
        path.name for path in trial.iterdir()
    }

    assert main([*QUICK, *run_dir, "--trainer.max_steps", "2"]) == 0, "with a Timer from YAML"
    assert ended(tmp_path / "run")[:2] == ("complete", "max_steps")
    assert "lightning.pytorch.callbacks.Timer" in (tmp_path / "run" / "config.yaml").read_text()
    before = (tmp_path / "run" / "summary.json").read_text()
    assert main([*QUICK, *run_dir, "--trainer.fast_dev_run", "true"]) == 0, "beside a run that is there"
    assert (tmp_path / "run" / "summary.json").read_text() == before


def test_a_fast_dev_run_from_python_writes_nothing_to_the_run_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_dir = tmp_path / "run"
    run = trainer(run_dir, 6, callbacks=[Last(run_dir / "checkpoints" / "last.ckpt", 1)], fast_dev_run=True)
    data = data_module(prompts_per_step=1)
    run.fit(learner(max_tokens=8), datamodule=data)
    assert data.step == 1
    assert not run_dir.exists()
