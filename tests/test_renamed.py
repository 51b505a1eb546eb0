"""Names and import paths that strategies and classes once had are answered with those they have now."""

from pathlib import Path

import pytest
import yaml

from drawing import ladder_of
from observer import strategies
from observer.cli import main
from observer.curriculum import AtMost, Draws, NeuraLadder
from observer.types import RefusedError
from tables import holds_for

QUICK = ["fit", "--config", "configs/quickstart.yaml"]
MOVED = {
    "observer.curriculum.Ladder": "observer.curriculum.NeuraLadder",
    "observer.curriculum.schedules.Ladder": "observer.curriculum.NeuraLadder",
    "observer.curriculum.schedules.neura_ladder.Ladder": "observer.curriculum.NeuraLadder",
    "observer.curriculum.schedules.Sorted": "observer.curriculum.Sorted",
    "observer.objective.Stage": "observer.objective.StageWave",
    "observer.objective.weightings.stage.Stage": "observer.objective.StageWave",
    "observer.module.default_optimizer": "observer.learner.default_optimizer",
    "observer.warmstart.WarmStart": "observer.learner.WarmStart",
    "observer.learner.learner.ObserveLearner": "observer.learner.ObserveLearner",
}


def refusal(words, capfd):
    assert main(words) == 2
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--curriculum.schedule", "Ladder"], "Ladder is called NeuraLadder now"),
        (["--model.weighting", "Stage"], "Stage is called StageWave now"),
        (
            ["--curriculum.schedule", "observer.curriculum.Ladder"],
            "observer.curriculum.Ladder is observer.curriculum.NeuraLadder now",
        ),
        (
            ["--curriculum.schedule", "observer.curriculum.schedules.Ladder"],
            "observer.curriculum.schedules.Ladder is observer.curriculum.NeuraLadder now",
        ),
        (
            ["--model.weighting", "observer.objective.weightings.stage.Stage"],
            "observer.objective.weightings.stage.Stage is observer.objective.StageWave now",
        ),
        (
            ["--model.optimizer", "observer.module.default_optimizer"],
            "observer.module.default_optimizer is observer.learner.default_optimizer now",
        ),
        (
            ["--learner", "observer.warmstart.WarmStart"],
            "observer.warmstart.WarmStart is observer.learner.WarmStart now",
        ),
    ],
)
def test_a_former_name_on_the_command_line_is_answered_with_the_present_one(words, expected, tmp_path, capfd):
    shown = refusal([*QUICK, "--run_dir", str(tmp_path / "run"), *words], capfd)
    assert expected in shown
    assert shown.count(expected) == 1


def in_a_mixture(schedule):
    return {"class_path": "Mixture", "init_args": {"parts": {"a": {"schedule": schedule, "share": 1.0}}}}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"curriculum": {"schedule": {"class_path": "Ladder"}}}, "Ladder is called NeuraLadder now"),
        ({"curriculum": {"schedule": "Ladder"}}, "Ladder is called NeuraLadder now"),
        (
            {"curriculum": {"schedule": {"class_path": "Ladder", "init_args": {"own": 0.5}}}},
            "Ladder is called NeuraLadder now",
        ),
        (
            {"curriculum": {"schedule": in_a_mixture({"class_path": "Ladder"})}},
            "Ladder is called NeuraLadder now",
        ),
        (
            {"curriculum": {"schedule": {"class_path": "observer.curriculum.Ladder"}}},
            "observer.curriculum.Ladder is observer.curriculum.NeuraLadder now",
        ),
        ({"model": {"weighting": {"class_path": "Stage"}}}, "Stage is called StageWave now"),
        (
            {"model": {"optimizer": {"class_path": "observer.module.default_optimizer"}}},
            "observer.module.default_optimizer is observer.learner.default_optimizer now",
        ),
        (
            {"learner": "observer.warmstart.WarmStart"},
            "observer.warmstart.WarmStart is observer.learner.WarmStart now",
        ),
    ],
)
def test_a_former_name_in_a_file_is_answered_with_the_present_one(section, expected, tmp_path, capfd):
    file = tmp_path / "former.yaml"
    file.write_text(yaml.safe_dump(section))
    assert expected in refusal([*QUICK, "--run_dir", str(tmp_path / "run"), "--config", str(file)], capfd)


def test_the_preview_answers_former_names_too(capfd):
    words = ["curriculum", "preview", "--config", "configs/quickstart.yaml"]
    assert "Ladder is called NeuraLadder now" in refusal([*words, "--curriculum.schedule", "Ladder"], capfd)


def test_a_name_that_never_was_is_answered_with_no_other(capfd):
    shown = refusal([*QUICK, "--curriculum.schedule", "observer.curriculum.Nonesuch"], capfd)
    assert "Known by name for curriculum.schedule" in shown
    assert " now" not in shown


@holds_for("path", MOVED)
def test_the_present_path_of_what_has_moved_is_found(path):
    assert strategies.present_path(path) == MOVED[path]
    assert strategies.present_path(MOVED[path]) is None, "nothing to tell of a path that is right"


def test_every_new_name_exists_and_no_former_one():
    for family, names in strategies.RENAMED.items():
        assert names.keys().isdisjoint(strategies.members(family))
        assert set(names.values()) <= strategies.members(family).keys()


def test_a_strategy_of_a_user_may_have_a_former_name(tmp_path, monkeypatch):
    monkeypatch.setattr(strategies, "members", lambda family: {"Ladder": object, "NeuraLadder": NeuraLadder})
    assert strategies.former_names("schedule") == {}
    assert strategies.with_present_names("schedule", "Ladder()") == "Ladder()"


def test_a_checkpoint_that_names_the_schedule_as_it_was_called_goes_on():
    old, new = (Draws(ladder_of(), AtMost(NeuraLadder(), visits=9), 12, horizon=9) for _ in range(2))
    old.finish(old.draw(0), [0.5] * 12)
    state = old.state_dict()
    state["draws"]["schedule"] = state["draws"]["schedule"].replace("NeuraLadder(", "Ladder(")
    assert new.load_state_dict(state) == []
    assert new.draw(1) == old.draw(1)
    state["draws"]["schedule"] = state["draws"]["schedule"].replace("own=0.6", "own=0.7")
    with pytest.raises(RefusedError, match=r"drawn with schedule AtMost\(.*NeuraLadder\(.*own=0.7"):
        new.load_state_dict(state)


def test_no_page_or_configuration_names_a_former_one():
    files = [*Path("configs").glob("*.yaml"), *Path("docs").glob("*.md"), Path("README.md")]
    for file in files:
        text = file.read_text(encoding="utf-8")
        text = "\n".join(line for line in text.splitlines() if "schedule" in line)  # rows have a Ladder too
        assert not strategies.moved(text, ["schedule"]), file
