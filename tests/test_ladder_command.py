"""``observer ladder``: its words, its plan, what it shows of a ladder, what it refuses."""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

import laddered
from laddered import Silent, recipe
from observer.cli import main
from observer.ladder import Mix, Review, Sort, Verifiable, build
from observer.ladder.asker import ModelAsker
from observer.ladder.chunks import Part
from observer.ladder.inspection.figures import read_figures
from observer.ladder.measuring import Measuring
from observer.ladder.plan import plan
from observer.types import RefusedError


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(tmp_path_factory.mktemp("rows"), 6, source=lambda row: f"file {row % 2}")


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    steps = (Verifiable(), laddered.measure(), Review(), Sort(), Mix(shares="ladder"))
    build(recipe(source, *steps), folder, shown=Silent())
    return folder


@pytest.mark.parametrize("command", ["build", "merge", "inspect", "learned", "export"])
def test_each_command_has_a_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["ladder", command, "--help"])
    assert stop.value.code == 0
    assert "--output" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["ladder"], ["ladder", "bild"]])
def test_a_command_that_is_none_is_refused_with_those_that_are(words, capsys):
    assert main(words) == 2
    assert "there are build, merge, inspect" in capsys.readouterr().err


def test_a_ladder_is_shown_with_its_levels_its_mixing_its_sources_and_its_steps(built, capsys):
    assert main(["ladder", "inspect", "--output", str(built)]) == 0
    printed = capsys.readouterr().out
    for part in ("levels: difficulty in eighths", "mixing: share", "file 0", "Verifiable", "wide: rows"):
        assert part in printed
    with Image.open(built / "ladder.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    figures = read_figures(built)
    assert figures.counts_L.tolist() == [0, 0, 0, 0, 6, 0, 0, 0, 0]
    assert figures.wide_L[4] == 6, "two of four responses say little"
    assert figures.mixing_L_L[4, 4] == 1
    assert {name: int(counts.sum()) for name, counts in figures.sources.items()} == {"file 0": 3, "file 1": 3}


def test_a_folder_without_a_ladder_is_refused(tmp_path, capsys):
    (tmp_path / "work").mkdir()
    assert main(["ladder", "inspect", "--output", str(tmp_path)]) == 2
    assert "holds no ladder (its build is not finished)" in capsys.readouterr().err


def test_a_plan_counts_without_a_model_and_tells_tokens_of_rows_that_are_timed(source, tmp_path):
    def none(*_):
        raise AssertionError("no model is loaded")

    [cost] = plan(Measuring(recipe(source), source.read(), tmp_path / "work", none), None, 0)
    assert (cost.name, cost.rows, cost.responses, cost.most_tokens) == ("Measure", 6, 24, 24 * 64)
    assert cost.tokens is None
    measuring = Measuring(recipe(source), source.read(), tmp_path / "work", ModelAsker)
    [timed] = plan(measuring, None, 2)
    assert 24 < timed.tokens < timed.most_tokens
    assert not (tmp_path / "work").exists()


def test_a_plan_leaves_out_what_is_finished_and_refuses_a_folder_of_something_else(source, tmp_path):
    build(recipe(source), tmp_path, shown=Silent())
    (tmp_path / "work" / "Measure" / "000001.arrow").unlink()
    measuring = Measuring(recipe(source), source.read(), tmp_path / "work", ModelAsker)
    [cost] = plan(measuring, None, 4)
    assert (cost.chunks, cost.finished, cost.rows, cost.responses) == (2, 1, 2, 8)
    assert 8 < cost.tokens < cost.most_tokens
    [mine] = plan(measuring, Part(1, 2), 4)
    assert (mine.chunks, mine.finished, mine.rows, mine.seconds) == (1, 1, 0, None)
    other = Measuring(recipe(source, seed=1), source.read(), tmp_path / "work", ModelAsker)
    with pytest.raises(RefusedError, match=r"work/Measure holds chunks .*: seed was 0 and is 1; go back"):
        plan(other, None, 0)


def test_a_plan_on_the_command_line_writes_nothing(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written = {
        "rows": {"class_path": "Jsonl", "init_args": {"path": source.path}},
        "model": {"path": "observer:tiles"},
        "steps": ["Verifiable", "Measure", "NoPicture"],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(written))
    assert main(["ladder", "build", "--config", "mine.yaml", "--plan", "--limit", "4"]) == 0
    printed = capsys.readouterr().out
    assert "Measure" in printed
    assert "NoPicture" in printed
    assert f"{4 * 8 * 1024:,}" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "[Measure]", "--model.path", ""], "model.path is ''.*asks a model"),
        (["--part", "9/8"], "--part is '9/8'"),
        (["--limit", "0"], "limit is 0; it must be >= 1"),
        (["--chunk_rows", "0"], "chunk_rows is 0"),
        (["--steps", "[Measur]"], "Near Measur: Measure"),
        (["--rows", "null"], "rows.*Known by name for rows: .*Jsonl"),
        (["--model.path", "nonesuch/model"], "nonesuch/model"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_measured(words, told, tmp_path, capsys):
    output = tmp_path / "out"
    given = ["--config", "ladder", "--rows.rows", "8", "--output", str(output)]
    assert main(["ladder", "build", *given, *words]) == 2
    assert re.search(told, capsys.readouterr().err, re.DOTALL)
    assert not list(output.rglob("*.arrow"))


def test_the_rows_of_the_control_are_of_the_input(built):
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["answers"]["control"]["different"] == manifest["answers"]["input"]["different"]


def test_a_broken_manifest_is_refused(built, tmp_path):
    for name in ("manifest.json", "ladder.parquet"):
        (tmp_path / name).write_bytes((built / name).read_bytes()[:40])
    with pytest.raises(RefusedError, match="cannot be read"):
        read_figures(tmp_path)
