"""An evaluation that is killed ends as an unbroken one; its memory does not grow with its rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from laddered import files
from observer.cli import main

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parent.parent
ROWS, CHUNK = 12, 2


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiles.yaml"
    evaluation = {
        "model": {"path": "observer:tiles", "max_prompt_tokens": 64, "device": "cpu"},
        "response_format": {"class_path": "Observe", "init_args": {"system_prompt": ""}},
        "responses": 2,
        "max_tokens": 64,
        "chunk_rows": CHUNK,
        "benchmarks": {
            name: {"rows": {"class_path": "Tiles", "init_args": {"rows": ROWS, "split": split}}}
            for name, split in (("seen", "train"), ("held", "test"))
        },
    }
    path.write_text(yaml.safe_dump(evaluation, sort_keys=False))
    return path


def words(config, folder):
    return ["evaluate", "--config", str(config), "--output", str(folder)]


def test_an_evaluation_that_is_killed_goes_on_to_equal_files(config, tmp_path):
    assert main(words(config, tmp_path / "unbroken")) == 0
    folder = tmp_path / "killed"
    script = "import sys; from observer.cli import main; raise SystemExit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words(config, folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said = 0
    while said < 3 and (line := process.stdout.readline()):
        said += ": chunk " in line
    process.kill()
    process.communicate()
    assert process.returncode == -9, "it was killed before its end"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("work/*/*.arrow")}
    assert 3 <= len(before) < 2 * ROWS / CHUNK
    assert not (folder / "scores.json").exists()
    assert main(words(config, folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was finished is not redone"
    assert files(folder) == files(tmp_path / "unbroken")
    assert not list(folder.rglob("*.tmp"))


MEMORY = """
import json, sys
from pathlib import Path
import laddered
from laddered import MODEL, PLAIN, Silent
from observer.data import Tiles
from observer.evaluation import Benchmark, Evaluation
from observer.evaluation.evaluating import evaluate

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

class Watching(Silent):
    most = 0
    def chunk(self, rows, tokens):
        super().chunk(rows, tokens)
        self.most = max(self.most, anonymous())

found = []
for rows in json.loads(sys.argv[2]):
    shown = Watching()
    options = dict(response_format=PLAIN, responses=2, max_tokens=64, chunk_rows=64)
    benchmarks = {"tiles": Benchmark(Tiles(rows=rows, split="test"))}
    evaluate(Evaluation(benchmarks, MODEL, **options), Path(sys.argv[1]) / str(rows), shown)
    found.append([rows, shown.most, anonymous()])
print(json.dumps(found))
"""
"""Evaluates growing numbers of rows; prints of each kB of memory that no file backs: at most, and after."""


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_rows(tmp_path):
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "helpers")))
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), "[256, 1000, 4000]"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    _, (few, *before), (many, *after) = json.loads(ran.stdout.splitlines()[-1])
    per_row = [(now - then) * 1024 / (many - few) for then, now in zip(before, after, strict=True)]
    assert max(per_row) < 2000, "the texts of a row, with what Python adds, are more"
