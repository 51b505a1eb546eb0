"""A runner of grids. Its processes are real ones that write what a run writes, and train nothing."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import stand_in_run
from observer.ablation import process
from observer.ablation.grid import read_grid
from observer.ablation.runner import Runner
from observer.ablation.state import state_of
from observer.ablation.table import Board
from observer.run.locks import is_held, only_one
from observer.types import RefusedError
from processes import HUNG

pytestmark = pytest.mark.whole

HELPERS = Path(__file__).parent / "helpers"
PROGRAM = (sys.executable, "-S", str(HELPERS / "stand_in_run.py"))
RUNNER = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from observer.ablation import process
    from observer.ablation.grid import read_grid
    from observer.ablation.runner import Runner
    from observer.ablation.table import Board
    process.PROGRAM = (sys.executable, "-S", sys.argv[1] + "/stand_in_run.py")
    grid = read_grid(sys.argv[2])
    sys.exit(Runner(grid, grid.runs(sys.argv[3]), 2, Board(grid)).run())
"""


@pytest.fixture
def grid_of(tmp_path, monkeypatch):
    """Factory of grids, each variant with what its processes do."""
    monkeypatch.setattr(process, "PROGRAM", PROGRAM)

    def make(seeds=(0, 1), **orders):
        variants = {name: {"do": order} for name, order in orders.items()}
        content = {"base": "quickstart", "seeds": list(seeds), "variants": variants}
        file = tmp_path / "some.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return read_grid(file)

    return make


def run(grid, folder, jobs=2, terminal=False, **options):
    """Run a grid; return the exit code and what was said."""
    said = io.StringIO()
    console = Console(file=said, force_terminal=terminal, width=120)
    code = Runner(grid, grid.runs(folder), jobs, Board(grid, console), **options).run()
    return code, said.getvalue()


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "components.jsonl").read_text().splitlines()]


def test_each_run_is_a_process_and_what_is_done_is_skipped(grid_of, tmp_path):
    grid = grid_of(plain="", other="no order")
    code, said = run(grid, tmp_path / "out")
    assert code == 0
    assert "4 runs, 0 done, 4 to run, 2 at once" in said
    assert said.count("done, accuracy 0.500") == 4
    folders = [run.folder for run in grid.runs(tmp_path / "out")]
    assert [steps(folder) for folder in folders] == [[0, 1, 2, 3]] * 4
    code, said = run(grid, tmp_path / "out")
    assert (code, said.splitlines()) == (0, ["some: 4 runs, 4 done, 0 to run, 2 at once"])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("refuse", "exit code 2: refused: option is 1; write 2"),
        ("crash", "exit code 1: ValueError: the reward of a plugin has failed"),
        ("memory", "exit code 137, killed, as happens when memory runs out: try fewer --jobs"),
    ],
)
def test_a_run_that_fails_is_reported_with_its_seed_and_its_error_and_the_others_run(
    grid_of, tmp_path, order, told
):
    grid = grid_of(bad=order, good="")
    code, said = run(grid, tmp_path / "out")
    assert code == 1
    for seed in (0, 1):
        assert f"failed: bad seed {seed}: {told}; see {tmp_path}/out/logs/bad-seed-{seed}.log" in said
    assert "2 of 4 runs are not complete" in said
    assert [state_of(tmp_path / "out" / "good" / f"seed-{seed}").complete for seed in (0, 1)] == [True, True]
    assert run(grid, tmp_path / "out")[1].count("failed: bad seed") == 2, "they are tried again"


def test_options_that_the_parser_has_refused_are_not_tried(grid_of, tmp_path):
    code, said = run(
        grid_of(bad="crash", good=""), tmp_path / "out", refused={"bad": "refused: no such option"}
    )
    assert code == 1
    assert said.count("failed: bad seed 1: refused: no such option\n") == 1
    assert not (tmp_path / "out" / "bad").exists()
    log = (tmp_path / "out" / "logs" / "bad-seed-0.log").read_text().splitlines()
    assert log[0].startswith("$ observer fit --config quickstart --do=crash ")
    assert log[1:] == ["observer: refused: no such option"]


@pytest.fixture
def heeded():
    """SIGHUP as it is by default: where the tests run under nohup it is ignored, and so it is by a runner."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_lets_the_processes_save_and_the_next_runner_goes_on(grid_of, tmp_path, name, code):
    before = signal.getsignal(getattr(signal, name))
    grid = grid_of(stopped=name)
    found, said = run(grid, tmp_path / "out", jobs=1)
    assert found == code
    assert "letting each run finish its step and save" in said
    assert "stopped seed 0: stopped after step 3" in said
    assert not (tmp_path / "out" / "stopped" / "seed-1").exists(), "no new one is started"
    assert signal.getsignal(getattr(signal, name)) is before
    grid = grid_of(stopped="")
    code, said = run(grid, tmp_path / "out", jobs=1)
    assert code == 0
    assert "stopped seed 0: resumed at step 3" in said
    assert steps(tmp_path / "out" / "stopped" / "seed-0") == [0, 1, 2, 3]


def test_a_second_signal_kills(grid_of, tmp_path):
    code, said = run(grid_of(seeds=[0], stubborn="twice"), tmp_path / "out")
    assert code == 130
    assert "stubborn seed 0: stopped after step 2" in said
    assert not is_held(tmp_path / "out" / "stubborn" / "seed-0")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere a killed runner leaves its processes"
)
def test_processes_of_a_killed_runner_save_and_end_and_the_next_one_waits_for_them(grid_of, tmp_path):
    grid = grid_of(orphan="SIGKILL")
    command = [sys.executable, "-c", textwrap.dedent(RUNNER), HELPERS, grid.path, tmp_path / "out"]
    assert subprocess.run(command, check=False, timeout=HUNG).returncode == -signal.SIGKILL
    folders, said = [run.folder for run in grid.runs(tmp_path / "out")], []

    class Watch(Board):
        def say(self, text):
            said.append(text)
            if "another process still writes to" in text:
                for folder in filter(Path.is_dir, folders):
                    (folder / "go").touch()

    grid = grid_of(orphan="")
    assert Runner(grid, grid.runs(tmp_path / "out"), 2, Watch(grid, Console(file=io.StringIO()))).run() == 0
    assert [steps(folder) for folder in folders] == [[0, 1, 2, 3]] * 2
    assert any("another process still writes to" in text for text in said), "they finish their step first"


def test_a_run_that_another_process_writes_to_is_waited_for_and_said_to_be(grid_of, tmp_path):
    grid = grid_of(seeds=[0], held="", free="no order")
    folder = grid.runs(tmp_path / "out")[0].folder
    folder.mkdir(parents=True)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    class Watch(Board):
        def show(self, run, word, *given):
            super().show(run, word, *given)
            if (run.variant, word) == ("free", "done"):
                os.close(lock)

    said = io.StringIO()
    console = Console(file=said, width=200)
    assert Runner(grid, grid.runs(tmp_path / "out"), 1, Watch(grid, console)).run() == 0
    lines = said.getvalue().splitlines()
    assert lines[1:3] == [
        f"held seed 0: another process still writes to {folder}; waiting for it",
        "free seed 0: started",
    ]
    assert "held seed 0: done, accuracy 0.500; 0 left" in lines


def test_two_runners_of_a_directory_are_kept_apart(tmp_path):
    told = r"is being worked on by another process; .* choose"
    with only_one(tmp_path, tmp_path, "worked on"), pytest.raises(RefusedError, match=told):
        only_one(tmp_path, tmp_path, "worked on").__enter__()
    with only_one(tmp_path, tmp_path, "worked on"):
        pass


@pytest.mark.parametrize(("given", "found"), [(None, None), ("3", "3")])
def test_processes_share_the_cores_unless_the_user_has_dealt_them(
    grid_of, tmp_path, monkeypatch, given, found
):
    monkeypatch.setattr(process, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    grid = grid_of(seeds=[0], one="")
    assert run(grid, tmp_path / "out", jobs=3)[0] == 0
    log = grid.runs(tmp_path / "out")[0].log.read_text().splitlines()
    assert log[0].startswith("$ observer fit --config quickstart --do=")
    assert log[1] == f"threads {found or 2}"


def test_on_a_terminal_a_table_fills(grid_of, tmp_path):
    code, said = run(grid_of(bad="crash", good=""), tmp_path / "out", terminal=True)
    assert code == 1
    assert "some: 2 done, 2 failed" in said
    rows = [line for line in said.splitlines() if "good" in line and "0.500" in line]
    assert rows
    assert "good seed 0: started" not in said


def test_the_stand_in_writes_what_a_state_is_read_from(tmp_path):
    stand_in_run.save(tmp_path, 4, "complete")
    assert state_of(tmp_path).complete
    (tmp_path / "summary.json").write_text("{")
    assert not state_of(tmp_path).complete
    assert state_of(tmp_path / "none").status == ""
