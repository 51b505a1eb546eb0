"""A run that is killed again and again ends as the run that was left alone: real processes, SIGKILL."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evaluated import evaluations
from observer.data import Tiles
from processes import HUNG
from test_interrupt import SLURM, batch_script

ROOT = Path(__file__).parent.parent
KILLS = int(os.environ.get("CHAOS_KILLS", "20"))
ROLLOUTS_A_KILL = 6
"""So many rollouts a kill there are; where a machine takes more in 10 s, the kill comes sooner."""
SECONDS = 10.0
SMALL = [
    *("--checkpoints.every_n_steps", "1", "--data.steps_per_epoch", "10", "--data.prompts_per_step", "8"),
    *("--data.val.rows", "8", "--data.test.rows", "8", "--completions.groups_per_step", "null"),
    *("--trainer.enable_progress_bar", "false"),
]


def command(run_dir, steps, *more):
    observer = Path(sys.executable).with_name("observer")
    words = ["fit", "--config", "configs/quickstart.yaml", "--run_dir", run_dir, "--trainer.max_steps", steps]
    return [str(word) for word in (observer, *words, *SMALL, *more)]


def start(run_dir, steps, *more):
    """Start a fit in a process group of its own; what it says is beside the run directory."""
    with run_dir.with_suffix(".out").open("ab") as out:
        return subprocess.Popen(
            command(run_dir, steps, *more), cwd=ROOT, stdout=out, stderr=out, start_new_session=True
        )


def complete(run_dir, steps, *more):
    process = start(run_dir, steps, *more)
    assert process.wait(timeout=3600) == 0, said(run_dir)
    return json.loads((run_dir / "summary.json").read_text())


def said(run_dir):
    return run_dir.with_suffix(".out").read_text()[-3000:]


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def wait_for(process, run_dir, happened, seconds=300.0, pause=0.01):
    """Wait until something has happened, or the time is over; the process must not end meanwhile."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        assert process.poll() is None, f"it ended with {process.returncode}: {said(run_dir)}"
        time.sleep(pause)


def wait_for_a_step(process, run_dir, before):
    """Wait for the first checkpoint that is newer than the time stamp."""
    last = run_dir / "checkpoints" / "last.ckpt"
    wait_for(process, run_dir, lambda: stamp(last) > before)
    assert stamp(last) > before, f"no step in five minutes: {said(run_dir)}"


def rollouts_logged(run_dir):
    """Read the number of the last whole line of completions.jsonl, plus one."""
    try:
        with (run_dir / "completions.jsonl").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 50_000, 0))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return 0
    return json.loads(lines[-2])["step"] + 1 if len(lines) > 2 else 0


def temporary_files(run_dir):
    return [path.name for path in run_dir.rglob("*") if path.name.endswith(".tmp")]


def writes(run_dir):
    """Tell whether a checkpoint is being written."""
    return any(name.startswith(".last.ckpt.") for name in os.listdir(run_dir / "checkpoints"))


def assert_whole(run_dir):
    paths = list((run_dir / "checkpoints").glob("*.ckpt"))
    assert paths
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
        torch.load(path, weights_only=True)


def curves(run_dir):
    events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0})
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if not name.startswith(("zoom_seconds/", "train/tokens_per_second"))
    }


def steps_without_a_point(curves, expected):
    """Return the steps at which some curve lacks a point; there must be no other points than expected."""
    lost = set()
    for name, points in expected.items():
        assert set(curves[name]) <= set(points), f"{name} has other points"
        lost |= {step for step, _ in set(points) - set(curves[name])}
    return lost


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def assert_same_run(run_dir, unbroken):
    ends = [torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (run_dir, unbroken)]
    for name in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "LadderDataModule"):
        assert same(*(end[name] for end in ends)), f"{name} differs"
    exports = [
        {str(path.relative_to(f)): path.read_bytes() for path in (f / "export").rglob("*") if path.is_file()}
        for f in (run_dir, unbroken)
    ]
    assert "export/model.safetensors" in exports[0]
    assert exports[0] == exports[1], "the exports differ"
    for name in ("completions.jsonl", "components.jsonl", "alarms.jsonl", "before.json"):
        assert (run_dir / name).read_bytes() == (unbroken / name).read_bytes(), f"{name} differs"
    assert evaluations(run_dir) == evaluations(unbroken)
    assert temporary_files(run_dir) == []
    assert [path.name for path in run_dir.iterdir() if path.name.startswith(".")] == [".lock"]


def pictures_on_disk(folder, rows=256):
    """Words that train on the first tiles, as a file of rows with a picture each."""
    lines = []
    for problem in islice(Tiles(rows=rows).read(), rows):
        with problem.pictures[0].load() as picture:
            picture.save(folder / f"{problem.row}.png")
        line = {"id": problem.id, "question": problem.turns[0].text, "answer": problem.answer}
        line |= {"images": [f"{problem.row}.png"], "level": problem.level, "difficulty": problem.level / 8}
        lines.append(json.dumps(line) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    return ["--data.train", "Jsonl", "--data.train.path", folder / "train.jsonl"]


def quickstart(folder):
    return []


def adapters(folder):
    """What the first leaves out: adapters, a reference, two updates a rollout, two rounds of draws, files."""
    return [
        *("--model.policy.lora.rank", "8", "--model.kl", "K3", "--model.kl.coefficient", "0.01"),
        *("--model.updates_per_rollout", "2", "--model.resample", "2", "--model.screen", "4"),
        *("--curriculum.schedule", "SelfPaced", *pictures_on_disk(folder)),
    ]


RECIPES = {
    "quickstart": (quickstart, 1, ["train/reward"]),
    "adapters": (adapters, 2, ["train/kl", "zoom_rollout/resampled"]),
}
"""Words, updates per rollout, and curves that are not 0 all along: else a recipe tests nothing of its own."""


@pytest.mark.chaos
@pytest.mark.parametrize(("recipe", "updates", "alive"), RECIPES.values(), ids=RECIPES)
def test_a_run_that_is_killed_at_any_moment_ends_as_the_unbroken_run(tmp_path, recipe, updates, alive):
    chance, rollouts = random.Random(0), ROLLOUTS_A_KILL * (KILLS + 1)
    unbroken, run_dir, words = tmp_path / "unbroken", tmp_path / "run", recipe(tmp_path)
    steps, began = updates * rollouts, time.monotonic()
    complete(unbroken, steps, *words)
    print(f"{rollouts} unbroken rollouts: {time.monotonic() - began:.0f} s")
    assert all(any(value for _, value in curves(unbroken)[name]) for name in alive)
    while_writing, fell_into = 0, set()
    for kill in range(1, KILLS + 1):
        before, seconds = stamp(run_dir / "checkpoints" / "last.ckpt"), chance.uniform(0, SECONDS)
        process = start(run_dir, steps, *words, *(["--ckpt_path", "last"] if kill > 1 else []))
        try:
            wait_for_a_step(process, run_dir, before)
            budget = ROLLOUTS_A_KILL * kill
            wait_for(process, run_dir, lambda most=budget: rollouts_logged(run_dir) >= most, seconds)
            if kill % 4 == 0:
                wait_for(process, run_dir, lambda: writes(run_dir), seconds=60, pause=0)
            assert process.poll() is None, f"it ended before the kill: {said(run_dir)}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        while_writing += bool(temporary_files(run_dir))
        fell_into.add(rollouts_logged(run_dir) - 1)
        assert_whole(run_dir)
        print(f"kill {kill}, {seconds:.1f} s after a step: {rollouts_logged(run_dir)} rollouts", flush=True)
    assert while_writing >= KILLS // 8, "too few kills have hit the writing of a checkpoint"
    assert complete(run_dir, steps, *words, "--ckpt_path", "last")["steps"] == rollouts
    print(f"{KILLS} kills, {while_writing} while writing: {time.monotonic() - began:.0f} s")
    assert_same_run(run_dir, unbroken)
    assert_whole(run_dir)
    lost = steps_without_a_point(curves(run_dir), curves(unbroken))
    print(f"steps that a curve lacks: {sorted(lost)}; kills fell into {sorted(fell_into)}")
    assert lost <= fell_into, "a curve lacks a step that no kill fell into"


@pytest.mark.slow
def test_a_second_ctrl_c_at_once_exits_with_130_and_the_run_goes_on_exactly(tmp_path):
    unbroken, run_dir = tmp_path / "unbroken", tmp_path / "run"
    complete(unbroken, 5)
    process = start(run_dir, 5)
    wait_for_a_step(process, run_dir, stamp(run_dir / "checkpoints" / "last.ckpt"))
    for _ in range(2):  # to the whole group, as a terminal does
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(timeout=HUNG) == 130, said(run_dir)
    assert "press Ctrl-C again to stop at once" in said(run_dir)
    assert json.loads((run_dir / "summary.json").read_text())["status"] == "interrupted"
    assert temporary_files(run_dir) == []
    assert_whole(run_dir)
    assert complete(run_dir, 5, "--ckpt_path", "last")["steps"] == 5
    assert_same_run(run_dir, unbroken)


# A cluster

SRUN = """#!/bin/bash
echo $$ > "$JOB/pid"
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$JOB/requeued"
"""


@pytest.mark.slow
def test_the_batch_script_of_the_documentation_requeues_a_job_that_goes_on_exactly(tmp_path):
    unbroken, run_dir = tmp_path / "unbroken", tmp_path / "run"
    complete(unbroken, 5)
    for name, program in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    small = shlex.join(["--trainer.max_steps", "5", *SMALL])
    script = (
        batch_script()
        .replace("runs/mine", str(run_dir))
        .replace("quickstart.yaml", f"quickstart.yaml {small}")
    )
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    job = {"JOB": str(tmp_path), "PATH": path, **SLURM}

    def submit():
        with run_dir.with_suffix(".out").open("ab") as out:
            return subprocess.Popen(
                ["bash", "-c", script], cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **job}
            )

    first = submit()
    last = run_dir / "checkpoints" / "last.ckpt"
    wait_for(first, run_dir, lambda: rollouts_logged(run_dir) >= 1)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)  # to the step, not to the script
    assert first.wait(timeout=HUNG) == 143, said(run_dir)
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert 0 < torch.load(last, weights_only=True)["global_step"] < 5
    again = submit()
    assert again.wait(timeout=HUNG) == 0, said(run_dir)
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert_same_run(run_dir, unbroken)
