"""Builds of a ladder that are killed at random moments end as one that was left alone, byte for byte.

Real processes and SIGKILL: while chunks are measured, while rows are selected, while files are written, while
a part is built and while parts are put together. ``CHAOS_SEED`` draws other moments.
"""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from laddered import files
from observer.cli import main

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("CHAOS_SEED", "0"))
PLAIN = {"class_path": "Observe", "init_args": {"system_prompt": ""}}
ASKS = {"responses": 4, "max_tokens": 64, "response_format": PLAIN}
RECIPE = {
    "rows": {"class_path": "Tiles", "init_args": {"rows": 96}},
    "chunk_rows": 4,
    "model": {"path": "observer:tiles", "max_prompt_tokens": 64, "device": "cpu"},
    "steps": [
        "Verifiable",
        "Duplicates",
        {"class_path": "Measure", "init_args": ASKS},
        {"class_path": "NoPicture", "init_args": ASKS},
        "LowComplexity",
        "Review",
        "Sort",
        {"class_path": "Mix", "init_args": {"shares": "ladder"}},
    ],
}
UNFINISHED = {
    "selecting": "*removed.jsonl*.tmp",
    "writing": "*ladder.jsonl*.tmp",
    "pictures": "pictures/*/*.png",
    "control": "*control.jsonl*.tmp",
    "reviewing": "*review.jsonl*.tmp",
}
"""What is there while a build does one thing or the other."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiles.yaml"
    path.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def unbroken(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert main(words("build", config, folder)) == 0
    return files(folder)


def words(command, config, folder, *more):
    return ["ladder", command, "--config", str(config), "--output", str(folder), *more]


def chunks(folder):
    return len(list(folder.rglob("*.arrow")))


def killed(moment, dice, folder, words):
    """Start a command and kill it at a moment; return whether it was still running then."""
    script = "import sys; from observer.cli import main; raise SystemExit(main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = chunks(folder)
    wanted = before + dice.randint(1, 12)
    if moment == "pictures":  # those of an earlier attempt tell nothing
        for path in folder.glob(UNFINISHED[moment]):
            path.unlink()
    with folder.with_suffix(".out").open("ab") as out:
        command = [sys.executable, "-c", script, *words]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    while process.poll() is None:
        if chunks(folder) >= wanted if moment == "chunks" else any(folder.glob(UNFINISHED[moment])):
            break
    for _ in range(dice.randrange(20_000)):  # some milliseconds
        process.poll()
    process.kill()
    code = process.wait()
    assert code in (0, -signal.SIGKILL), folder.with_suffix(".out").read_text()[-2000:]
    print(f"{' '.join([words[1], *words[6:]])}: {moment}, chunks {before} .. {chunks(folder)}, {code}")
    return code == -signal.SIGKILL


def test_a_build_that_is_killed_ten_times_ends_as_one_that_was_left_alone(config, unbroken, tmp_path):
    print(f"CHAOS_SEED={SEED}")
    dice = random.Random(SEED)
    folder = tmp_path / "ladder"
    folder.mkdir()
    later = [*UNFINISHED]
    dice.shuffle(later)
    hit = [killed(moment, dice, folder, words("build", config, folder)) for moment in ["chunks"] * 5 + later]
    assert sum(hit) >= 8, "most kills came before the end"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("work/*/*.arrow")}
    assert main(words("build", config, folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished chunks are not done again"
    assert files(folder) == unbroken
    assert not list(folder.rglob("*.tmp"))


def test_parts_of_which_one_was_killed_are_merged_to_equal_files_by_a_merge_that_was_killed(
    config, unbroken, tmp_path
):
    print(f"CHAOS_SEED={SEED}")
    dice = random.Random(f"parts {SEED}")
    folder = tmp_path / "ladder"
    folder.mkdir()
    part = words("build", config, folder, "--part", "1/2")
    assert sum(killed("chunks", dice, folder, part) for _ in range(2)) == 2
    assert main(part) == 0
    assert main(words("build", config, folder, "--part", "2/2")) == 0
    merge = words("merge", config, folder)
    hit = [killed(moment, dice, folder, merge) for moment in ("chunks", "selecting", "writing")]
    assert any(hit)
    assert main(merge) == 0
    assert files(folder) == unbroken
    assert not list(folder.rglob("*.tmp"))
