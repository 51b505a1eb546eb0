"""A grid that is killed again and again ends with the runs, and the report, of one that was left alone.

Real processes, SIGKILL. The code must not change while it runs: reports name a commit that runs differ in.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from observer.ablation.grid import read_grid
from observer.cli import main
from processes import HUNG
from reported import timeless

ROOT = Path(__file__).parent.parent
GRID = ROOT / "experiments" / "quickstart_ablation.yaml"
KILLS = int(os.environ.get("CHAOS_KILLS", "10"))
SECONDS = 30.0
"""A kill comes so long after the first step of a runner, or earlier."""
SMALL = {
    "trainer.max_steps": 12,
    "data.prompts_per_step": 4,
    "data.steps_per_epoch": 5,
    "data.val.rows": 8,
    "data.test.rows": 32,
    "checkpoints.every_n_steps": 2,
    "completions.groups_per_step": None,
}
SAME = ("completions.jsonl", "components.jsonl", "alarms.jsonl", "before.json", "heldout.parquet")
TIMES = ("seconds", "tokens_per_second", "peak_rss_mb")


def start(grid_file, output):
    """Start a runner in a session of its own; what it says is beside the directory."""
    command = [
        sys.executable,
        "-m",
        "observer",
        "ablate",
        "run",
        grid_file,
        "--output",
        output,
        "--jobs",
        "2",
    ]
    with output.with_suffix(".out").open("ab") as out:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def children(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def logged(output):
    """Lines of all logs of steps: they grow with each step of any run."""
    return sum(file.read_bytes().count(b"\n") for file in output.rglob("components.jsonl"))


def kill_runner(process):
    """The runner alone: its processes notice."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def kill_all(process):
    """The runner and its processes, at once."""
    pids = children(process)
    for pid in [process.pid, *pids]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def stop(process):
    """As SLURM or a user does."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(HUNG) == 128 + signal.SIGTERM


def curve(folder):
    """Evaluations without their seconds."""
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def summary(folder):
    found = json.loads((folder / "summary.json").read_text())
    return {key: value for key, value in found.items() if key not in TIMES}


@pytest.mark.chaos
def test_a_grid_that_is_killed_at_any_moment_ends_as_the_unbroken_grid(tmp_path):
    content = yaml.safe_load(GRID.read_text()) | {"common": SMALL}
    file = tmp_path / "some.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    unbroken, output = tmp_path / "unbroken", tmp_path / "killed"
    assert start(file, unbroken).wait(HUNG * 6) == 0, unbroken.with_suffix(".out").read_text()
    chance = random.Random(0)
    for kill in range(KILLS):
        process, before = start(file, output), logged(output)
        how, moment = (kill_runner, kill_all, stop)[kill % 3], chance.uniform(0, SECONDS)
        try:
            while logged(output) <= before and process.poll() is None:
                time.sleep(0.1)
            end = time.monotonic() + moment
            # No more than its share of the steps: where a machine is fast the kill comes sooner.
            share = (kill + 1) * len(content["seeds"]) * 2 * 12 // (KILLS + 1)
            while time.monotonic() < end and process.poll() is None and logged(output) < share:
                time.sleep(0.05)
            assert process.poll() is None, (
                f"it ended before the kill: {output.with_suffix('.out').read_text()}"
            )
        finally:
            if process.poll() is None:
                how(process)
        assert main(["ablate", "report", str(file), "--output", str(output)]) in (0, 2), "2: none is complete"
        print(f"{how.__name__} after {moment:.1f} s: {logged(output)} steps", flush=True)
    assert start(file, output).wait(HUNG * 6) == 0, output.with_suffix(".out").read_text()
    runs, whole = read_grid(file).runs(output), read_grid(file).runs(unbroken)
    assert len(runs) == 10
    for run, other in zip(runs, whole, strict=True):
        assert summary(run.folder) == summary(other.folder)
        assert summary(run.folder)["status"] == "complete"
        assert curve(run.folder) == curve(other.folder)
        assert (run.folder / "heldout.parquet").exists()
        for name in SAME:
            if (other.folder / name).exists():
                assert (run.folder / name).read_bytes() == (other.folder / name).read_bytes(), (
                    f"{run.name}: {name}"
                )
    said = output.with_suffix(".out").read_text()
    assert "failed" not in said
    for folder in (unbroken, output):
        assert main(["ablate", "report", str(file), "--output", str(folder)]) == 0
    one, other = (timeless(folder / "report") for folder in (unbroken, output))
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    print(f"the same but for seconds: {', '.join(sorted(one))}", flush=True)
