"""Alarms of whole runs: raised once, shown in one line, kept, and not repeated by a resumed run."""

import json
import sys

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runs
from observer.callbacks import Alarms, RunProgress
from observer.cli import main
from observer.learner import WarmStart
from observer.policy import PolicySpec
from observer.rollout import ScriptedEngine

SAME = "<observe> 1 </observe><think> 1 </think><answer> 99 </answer>"
SIZES = [
    *("--data.steps_per_epoch", "4", "--data.prompts_per_step", "2", "--model.group_size", "2"),
    *("--data.val", "null", "--data.test", "null", "--report.export", "false"),
]


def fit(folder, steps, *words):
    sizes = [*SIZES, "--trainer.max_steps", str(steps)]
    return main(["fit", "--config", "configs/quickstart.yaml", "--run_dir", str(folder), *sizes, *words])


def lines(folder):
    return [json.loads(line) for line in (folder / "alarms.jsonl").read_text().splitlines()]


def told(text):
    """Names of the alarms of what a run has printed."""
    return [line.split(",")[0].removeprefix("ALARM ") for line in text.splitlines() if line[:5] == "ALARM"]


@pytest.mark.whole
def test_a_run_that_answers_always_the_same_is_told_so_once(tmp_path, capfd):
    """The engine says one wrong answer, whatever the row; figures are logged every 4 steps."""
    script = ["--model.engine", "ScriptedEngine", "--model.engine.texts", json.dumps([SAME])]
    every = ["--trainer.log_every_n_steps", "4", "--alarms.window", "3", "--alarms.unsolved", "5"]
    assert fit(tmp_path, 6, *script, *every) == 0
    kept = lines(tmp_path)
    assert [(line["alarm"], line["since"], line["step"]) for line in kept] == [
        ("silent_groups", 0, 2),
        ("identical", 0, 2),
        ("unsolved", 0, 4),
    ]
    shown = capfd.readouterr().out
    assert told(shown) == [line["alarm"] for line in kept]
    assert "answered '99'" in kept[-1]["text"]
    assert all(line["text"] in shown for line in kept), "each in one piece"
    board = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    board.Reload()
    tags = [tag for tag in board.Tags()["tensors"] if tag.startswith("alarms/")]
    assert tags == [f"alarms/{line['alarm']}/text_summary" for line in kept]
    assert [board.Tensors(tag)[0].step for tag in tags] == [2, 2, 4]

    assert fit(tmp_path, 10, *script, *every, "--ckpt_path", "last") == 0
    assert told(capfd.readouterr().out) == []
    assert lines(tmp_path) == kept


@pytest.mark.whole
def test_a_run_of_five_steps_and_one_that_goes_well_are_told_nothing(tmp_path, capfd):
    assert fit(tmp_path, 5) == 0
    assert told(capfd.readouterr().out) == []
    assert lines(tmp_path) == []


def test_a_line_does_not_tear_the_progress_bar_apart(tmp_path, monkeypatch):
    """What is printed while the bar stands goes above it, whole, and the bar is drawn again below."""
    printed = tmp_path / "terminal"
    with printed.open("w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        bar = RunProgress()
        bar._console = Console(force_terminal=True, width=400, file=terminal)

        alarms = Alarms(window=2)
        data = runs.data_module(val=None, test=None, prompts_per_step=2)
        learner = runs.learner(engine=ScriptedEngine([SAME]))
        runs.trainer(tmp_path, 3, callbacks=[alarms, bar], enable_progress_bar=True).fit(
            learner, datamodule=data
        )
    text = printed.read_text()
    assert "0/3" in text
    assert [
        line
        for line in text.splitlines()
        if line.startswith("\x1b[2KALARM silent_groups, steps 0 to 1: 100% of the groups")
    ]


def test_validations_are_kept_beside_the_reward_of_the_training_before_them(tmp_path):
    alarms = Alarms(window=2)
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    data = runs.data_module(test=None, prompts_per_step=2)
    trainer = runs.trainer(tmp_path, 4, callbacks=[alarms])
    trainer.fit(learner, datamodule=data)
    step = alarms.state_dict()["last"][-1]
    assert step.keys() >= {
        "zero_signal",
        "entropy",
        "sampler_gap",
        "gradient_norm",
        "wasted",
        "identical",
        "reward",
    }
    assert step["step"] == 3
    held = alarms.state_dict()["validations"]
    assert held == [[1, 1.0, 8, step["reward"]], [3, 1.0, 8, step["reward"]]], (
        "the first text is the greedy answer"
    )
    trainer.validate(learner, datamodule=data, verbose=False)
    assert alarms.state_dict()["validations"] == held


def test_a_cold_start_is_watched_by_its_gradient_and_goes_well(tmp_path):
    alarms = Alarms(window=5)
    fresh = PolicySpec(runs.CHECKPOINT, from_scratch=True)
    data = runs.data_module(val=None, test=None, prompts_per_step=2)
    runs.trainer(tmp_path, 15, callbacks=[alarms]).fit(runs.learner(WarmStart, policy=fresh), datamodule=data)
    state = alarms.state_dict()
    assert state["raised"] == []
    assert [step.keys() for step in state["last"]] == [{"gradient_norm", "step"}] * 15


STATE = {
    "raised": ["kl"],
    "seen": 3,
    "first": [{"step": 0, "kl": 1.0}],
    "last": [],
    "validations": [[1, 0.5, 8.0, 1.0]],
}


def test_the_state_is_builtins_and_is_restored():
    alarms = Alarms()
    alarms.load_state_dict(STATE)
    assert alarms.state_dict() == STATE
    assert alarms.state_dict() == json.loads(json.dumps(alarms.state_dict()))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("raised", 3),
        ("raised", [1]),
        ("seen", "3"),
        ("seen", -1),
        ("first", [{"kl": 1.0}]),
        ("first", [{"step": 0, "kl": "1"}]),
        ("last", [{"step": 0, "kl": float("nan")}]),
        ("last", None),
        ("validations", [[1, 0.5]]),
        ("validations", [[1, 2.0, 8.0, 1.0]]),
    ],
)
def test_a_state_that_no_run_has_saved_is_refused_and_changes_nothing(entry, value):
    alarms = Alarms()
    with pytest.raises((ValueError, TypeError, KeyError)):
        alarms.load_state_dict(STATE | {entry: value})
    assert alarms.state_dict() == Alarms().state_dict()
