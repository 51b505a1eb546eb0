"""``observer ablate report``: what it writes, where, and what it refuses."""

import pytest

from observer.cli import main
from simulated_grid import Simulated

FILES = {"report.md", "variants.csv", "contrasts.csv", "by_level.csv", "curves.csv"}
FIGURES = {
    f"{name}.png" for name in ("forest", "levels", "curves_prompts", "curves_tokens", "curves_seconds")
}


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    effects = {"grpo": 0.0, "bonus": 0.1}
    made = Simulated(tmp_path, effects, seeds=2, problems=40, contrasts={"bonus": "bonus - grpo"})
    made.write()
    return made


def test_a_report_is_written_beside_its_runs_and_told(grid, capsys):
    assert main(["ablate", "report", "tiny.yaml"]) == 0
    told = capsys.readouterr().out
    assert told.endswith("runs/tiny/report/report.md\n")
    assert "Primary contrasts" in told
    folder = grid.output / "report"
    assert {path.name for path in folder.iterdir()} == FILES | FIGURES


def test_a_figure_of_an_earlier_report_that_is_not_drawn_anew_goes(grid, capsys):
    folder = grid.output / "report"
    folder.mkdir()
    for name in ("curves_tokens.png", "notes.txt"):
        (folder / name).write_text("earlier")
    for path in grid.output.glob("*/*/curve.jsonl"):
        path.unlink()
    moved = grid.output.rename(grid.folder / "elsewhere")
    assert main(["ablate", "report", "tiny.yaml", "--output", str(moved)]) == 0
    kept = {path.name for path in (moved / "report").iterdir()}
    assert kept == FILES | {"notes.txt", "forest.png", "levels.png"}
    assert "curves_" not in (moved / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonesuch.yaml"], "nonesuch.yaml"),
        (["tiny.yaml", "--output", "nowhere"], "--output nowhere is not there"),
        (["tiny.yaml", "--jobs", "2"], "--jobs"),
        (["tiny.yaml", "--output", "."], "holds no complete run of grid tiny (grpo seed 0: not started;"),
    ],
)
def test_what_cannot_be_reported_is_refused(grid, words, said, capsys):
    assert main(["ablate", "report", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["curve.jsonl", "summary.json", "environment.json", "heldout.parquet"])
def test_a_damaged_file_is_refused_by_name(grid, damaged, capsys):
    (grid.at("bonus", 1) / damaged).write_bytes(b"\xff\xfe\x00")
    assert main(["ablate", "report", "tiny.yaml"]) == 2
    assert f"runs/tiny/bonus/seed-1/{damaged} " in capsys.readouterr().err


@pytest.mark.parametrize(("place", "kind"), [("report", "file"), ("report/forest.png", "folder")])
def test_what_is_in_the_way_of_a_report_is_refused_before_it_is_written(grid, place, kind, capsys):
    path = grid.output / place
    path.mkdir(parents=True) if kind == "folder" else path.write_text("mine")
    before = sorted(grid.output.rglob("*"))
    assert main(["ablate", "report", "tiny.yaml"]) == 2
    assert f"runs/tiny/{place} is a {kind}, and the report is to be there" in capsys.readouterr().err
    assert sorted(grid.output.rglob("*")) == before


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("$ observer fit\nSeed set to 1\n", ("running or killed", "-")),
        ("$ observer fit\nobserver: refused: x is 1\n$ observer fit\nSeed set\n", ("running or killed", "-")),
        ("$ observer fit\nTraceback (most ..):\n  ..\nValueError: no\n", ("failed", "ValueError: no")),
        ("$ observer fit\nobserver: refused: x is 1\n  more\n", ("failed", "refused: x is 1")),
    ],
)
def test_a_log_says_that_a_run_failed_only_if_it_did(grid, log, told, capsys):
    (grid.at("bonus", 1) / "summary.json").unlink()
    (grid.output / "logs").mkdir()
    (grid.output / "logs" / "bonus-seed-1.log").write_text(log)
    assert main(["ablate", "report", "tiny.yaml"]) == 0
    page = (grid.output / "report" / "report.md").read_text()
    assert f"| bonus | 1 | {told[0]} | {told[1]} |" in page


def test_starts_that_are_not_as_a_run_writes_them_are_compared_all_the_same(grid):
    (grid.at("bonus", 1) / "environment.json").write_text('{"start": {"weights": ["w"]}}')
    assert main(["ablate", "report", "tiny.yaml"]) == 0
