"""Builds that are killed, run in parts, or interrupted; a ladder of the tiles, and a fit on it."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import spearmanr

from laddered import files
from observer.cli import main

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parent.parent
PLAIN = {"class_path": "Observe", "init_args": {"system_prompt": ""}}
ROWS, CHUNK = 48, 4


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiles.yaml"
    asks = {"responses": 4, "max_tokens": 64, "response_format": PLAIN}
    recipe = {
        "rows": {"class_path": "Tiles", "init_args": {"rows": ROWS}},
        "chunk_rows": CHUNK,
        "model": {"path": "observer:tiles", "max_prompt_tokens": 64, "device": "cpu"},
        "steps": [
            "Verifiable",
            "Duplicates",
            {"class_path": "Measure", "init_args": asks},
            {"class_path": "NoPicture", "init_args": asks},
            "LowComplexity",
            "Review",
            "Sort",
            {"class_path": "Mix", "init_args": {"shares": "ladder"}},
        ],
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def words(config, folder, *more):
    return ["ladder", "build", "--config", str(config), "--output", str(folder), *more]


@pytest.fixture(scope="module")
def unbroken(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert main(words(config, folder)) == 0
    return folder


def started(config, folder):
    script = "import sys; from observer.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *words(config, folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(folder):
    return len(list(folder.glob("work/*/*.arrow")))


def after(process, folder, count):
    """Wait until so many chunks are there, or the process has ended."""
    while process.poll() is None and finished(folder) < count:
        pass


def test_a_build_that_is_killed_goes_on_to_equal_files(config, unbroken, tmp_path):
    kills = random.Random(0)
    for _ in range(4):
        process = started(config, tmp_path)
        after(process, tmp_path, finished(tmp_path) + kills.randint(1, 10))
        process.kill()
        process.communicate()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/*.arrow")}
    assert before
    assert main(words(config, tmp_path)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(tmp_path) == files(unbroken)
    assert not list(tmp_path.rglob("*.tmp"))


def test_ctrl_c_finishes_the_chunk(config, unbroken, tmp_path):
    process = started(config, tmp_path)
    after(process, tmp_path, 2 * ROWS // CHUNK + 2)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0].decode()
    assert process.returncode == 130, said
    assert "finishing this chunk" in said
    assert "stopped after chunk" in said
    assert 0 < finished(tmp_path) < finished(unbroken)
    assert main(words(config, tmp_path)) == 0
    assert files(tmp_path) == files(unbroken)


def test_parts_that_are_put_together_are_equal_files(config, unbroken, tmp_path):
    for part in ("3/3", "1/3", "2/3"):
        assert main(words(config, tmp_path, "--part", part)) == 0
    assert main(["ladder", "merge", *words(config, tmp_path)[2:]]) == 0
    assert files(tmp_path) == files(unbroken)


def test_a_fit_trains_on_a_ladder(unbroken, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    data = ["--data.train", "Ladder", "--data.train.path", str(unbroken)]
    small = ["--trainer.max_steps", "1", "--data.prompts_per_step", "4", "--data.val", "null"]
    run = ["fit", "--config", "quickstart", "--run_dir", str(tmp_path), *data, *small, "--data.test", "null"]
    assert main(run) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "complete"


@pytest.mark.slow
def test_the_difficulty_that_is_measured_follows_the_levels_that_nobody_told(config, tmp_path):
    more = ["--rows.rows", "1000", "--rows.split", "test", "--chunk_rows", "100"]
    recipe = yaml.safe_load(config.read_text())
    recipe["steps"] = ["Verifiable", recipe["steps"][2], "Sort"]
    recipe["steps"][1]["init_args"]["responses"] = 8
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(words(tmp_path / "recipe.yaml", tmp_path / "out", *more)) == 0
    columns = pq.read_table(tmp_path / "out" / "ladder.parquet", columns=["row", "difficulty"])
    difficulty = columns["difficulty"].to_pylist()
    level = [row % 8 for row in columns["row"].to_pylist()]
    means = [
        sum(d for d, its in zip(difficulty, level, strict=True) if its == k) / level.count(k)
        for k in range(8)
    ]
    assert spearmanr(range(8), means)[0] >= 0.95
    assert spearmanr(level, difficulty)[0] >= 0.70
