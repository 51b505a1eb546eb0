"""A grid keeps what it said when its first run began, and its report tells what was named later."""

import dataclasses

import pytest
import yaml

from observer.ablation.record import read_named, write_record
from observer.ablation.report.collect import collect
from observer.ablation.report.contents import contents
from observer.ablation.report.effects import Effects
from observer.ablation.report.markdown import markdown
from observer.types import RefusedError
from simulated_grid import Simulated

FIRST = {"bonus": "bonus - grpo", "other": "other - grpo"}


@pytest.fixture
def grid(tmp_path):
    made = Simulated(
        tmp_path, {"grpo": 0.0, "bonus": 0.2, "other": 0.0}, seeds=3, problems=40, contrasts=FIRST
    )
    made.write()
    for path in made.output.glob("*/*/summary.json"):
        path.with_name("config.yaml").write_text("{}")
    return made


def changed(grid, **keys):
    """Write the grid file with other keys, and run it again."""
    content = yaml.safe_load(grid.file.read_text()) | keys
    grid.file.write_text(yaml.safe_dump(content, sort_keys=False))
    write_record(grid.grid, grid.output)


def page(grid):
    effects = Effects(collect(grid.grid, grid.output))
    return effects, markdown(contents(effects, "val", {}))


def test_what_is_named_before_the_first_run_is_tested(grid):
    changed(grid)
    text = page(grid)[1]
    assert [one.begun for one in read_named(grid.output)] == [0]
    assert [word for word in ("NAMED", "DROPPED", "CHANGED", "ADDED", "RECORDED") if word in text] == []


def test_what_is_named_later_is_no_test_however_often_the_grid_is_run_again(grid):
    late = {"bonus": "bonus - grpo", "late": "bonus - other"}
    for _ in range(3):
        changed(grid, contrasts=late, margin=0.05, seeds=[0, 1, 3])
    effects, text = page(grid)
    assert [one.begun for one in read_named(grid.output)] == [0, 9]
    for said in (
        "NAMED LATER: late, not so in the grid file when its first run began.",
        "DROPPED: other, named in the grid file once and no more.",
        "MARGIN CHANGED: it was 0.01 when the first run began, and is 0.05;",
        "SEEDS ADDED: 3, when runs had begun.",
        "SEEDS REMOVED: 2, in the grid file once and no more.",
        "- **late**: named later, not tested; ",
        "Holm's over 3 contrasts.",
    ):
        assert said in text
    (row,) = [line for line in text.splitlines() if line.startswith("| late |")][:1]
    assert row.split("|")[4:6] == [" - ", " - "]
    bonus = effects.primary()[0]
    assert effects.holm["bonus"] == pytest.approx(min(1, 3 * bonus.p_value))
    changed(grid, contrasts=FIRST)
    assert "NAMED LATER" not in page(grid)[1]
    assert "DROPPED: late, " in page(grid)[1]


def test_until_a_run_has_begun_names_are_free(tmp_path):
    grid = Simulated(tmp_path, {"a": 0.0, "b": 0.0}, seeds=2, problems=8, contrasts={"one": "a - b"})
    grid.write()
    changed(grid, contrasts={"two": "a - b"})
    assert [[*one.contrasts] for one in read_named(grid.output)] == [["two"]]


def test_runs_that_no_runner_has_started_are_said_to_have_no_record(grid):
    (grid.output / "grid.yaml").unlink()
    assert "NOT RECORDED: " in page(grid)[1]
    write_record(grid.grid, grid.output)
    assert "NOT RECORDED: " in page(grid)[1]


@pytest.mark.parametrize("content", ["base: quickstart\n", "named: [1]\n", "named: [\n", "\x00", "- 1\n"])
def test_a_file_that_is_no_record_is_refused_and_kept(grid, content):
    record = grid.output / "grid.yaml"
    record.write_text(content)
    for act in (lambda: write_record(grid.grid, grid.output), lambda: collect(grid.grid, grid.output)):
        with pytest.raises(RefusedError, match=r"grid\.yaml is no record of a grid \(.*move this file away"):
            act()
    assert record.read_text() == content


def test_a_record_is_read_as_it_was_written(grid):
    (one,) = read_named(grid.output)
    assert dataclasses.asdict(one) == {
        "begun": 0,
        "seeds": [0, 1, 2],
        "baseline": "grpo",
        "margin": 0.01,
        "contrasts": {"bonus": {"bonus": 1.0, "grpo": -1.0}, "other": {"other": 1.0, "grpo": -1.0}},
    }
