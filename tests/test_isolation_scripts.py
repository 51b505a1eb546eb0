"""Threads, forks and whole scripts that verify: none runs twice and none leaves a process behind."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import observer
from isolating import HELPERS, RIGHT, WRONG, comes_true, group_of, members, verdicts
from processes import HUNG
from stand_in import ask

pytestmark = pytest.mark.whole

# Threads, forks and scripts


def test_threads_may_share_a_verifier(verifier):
    one = verifier(workers=2)

    def score(thread):
        return [verdicts(one.verify_all(ask(f"{thread} {i}", f"{i}", gold=f"{thread} "))) for i in range(10)]

    with ThreadPoolExecutor(6) as threads:
        assert all(scores == [[RIGHT, WRONG]] * 10 for scores in threads.map(score, range(20, 26)))
    assert len(members(group_of(one))) == 3


def script(tmp_path, body):
    """A user's script without a guard; ``verifier`` checks as the stand-in does, ``note`` notes."""
    head = f"""
        import os, signal, sys, threading, time
        def note(*words):
            with open({str(tmp_path / "notes")!r}, "a") as file:
                print(*words, file=file)
        note("run")
        sys.path.append({str(HELPERS)!r})
        from observer.verifier import verifier as verifier_module
        from observer.verifier import Limits, Question, Verifier
        import stand_in
        from stand_in import ask
        verifier_module.PROGRAM = stand_in.PROGRAM
        def said(*orders):
            return " ".join(str(result.verdict) for result in verifier.verify_all(ask(*orders)))
        def checking(*orders, daemon=False):
            threading.Thread(target=said, args=orders, daemon=daemon).start()
            while not verifier._lock.locked():
                time.sleep(0.01)
        ready = {str(tmp_path / "ready")!r}
        verifier = Verifier(Limits(workers=2, seconds=600, batch_seconds=600))
        note("first", said("7"))
        note("group", verifier._process.pid)
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return [sys.executable, "-W", "error", path]


def notes(tmp_path):
    path = tmp_path / "notes"
    return path.read_text().splitlines() if path.exists() else []


def group_noted(tmp_path):
    return next((int(note.split()[1]) for note in notes(tmp_path) if note.startswith("group")), 0)


def finish(tmp_path, command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, **options)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert members(group_noted(tmp_path)) == []
    return [note for note in notes(tmp_path) if not note.startswith("group")]


def test_a_script_without_a_guard_runs_once_and_leaves_nothing_behind(tmp_path):
    assert finish(tmp_path, script(tmp_path, "note(said('8', 'exit 1', '7'))")) == [
        "run", "first correct", "wrong unverifiable correct",
    ]  # fmt: skip


def test_a_script_that_scores_in_a_daemon_thread_leaves_nothing_behind(tmp_path):
    assert finish(tmp_path, script(tmp_path, "checking('deaf', daemon=True)")) == ["run", "first correct"]


def test_a_forked_process_has_a_process_of_its_own(tmp_path):
    body = f"""
        checking("until {tmp_path / "go"}")
        if not (child := os.fork()):  # while the thread waits, and so holds the lock
            note("child", said("8", "7 child"))
            verifier.close()
            sys.exit()  # with all that is done at exit
        note("child exits with", os.waitpid(child, 0)[1])
        open({str(tmp_path / "go")!r}, "w").close()
        group = verifier._process.pid
        note("parent", said("8", "7 parent"))
        note("same process", verifier._process.pid == group)
    """
    assert finish(tmp_path, script(tmp_path, body)) == [
        "run", "first correct", "child wrong correct", "child exits with 0", "parent wrong correct",
        "same process True",
    ]  # fmt: skip


def test_two_programs_at_once_do_not_meet(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    running = []
    (tmp_path / "met").mkdir()
    for folder in folders:
        folder.mkdir()
        body = f"note(said('meet {tmp_path / 'met'} 2 {folder.name}', '7', {folder.name!r}))"
        running.append(subprocess.Popen(script(folder, body)))
    assert [process.wait(HUNG) for process in running] == [0, 0]
    assert len({group_noted(folder) for folder in folders}) == 2
    assert all(notes(folder)[-1] == "wrong correct wrong" for folder in folders)


def test_files_of_the_user_do_not_pass_for_modules(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name in ("random.py", "observer.py", "pebble.py", "sympy.py"):
        (work / name).write_text("raise SystemExit('this is not the library')")
    assert finish(tmp_path, script(tmp_path, ""), cwd=work) == ["run", "first correct"]


def test_files_beside_the_package_do_not_pass_for_modules(tmp_path):
    (tmp_path / "observer").symlink_to(Path(observer.__file__).parent)
    for name in ("random.py", "pebble.py"):
        (tmp_path / name).write_text("raise SystemExit('this is not the library')")
    assert finish(tmp_path, script(tmp_path, "")) == ["run", "first correct"]


IDLE = "open(ready, 'w').close(); time.sleep(600)"
BUSY = "said(f'count {ready}', 'deaf', 'deaf 2', 'deaf 3')"
HELD = "import ctypes; ctypes.CDLL(None).fork() or time.sleep(600)\n" + BUSY
"""What a library forked outlives it, and holds its end of the socket."""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
@pytest.mark.parametrize("body", [IDLE, BUSY, HELD], ids=["idle", "busy", "held"])
def test_nothing_is_left_after_a_signal_ended_the_program(tmp_path, body, signum):
    command = script(tmp_path, body)
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert comes_true(lambda: len(members(group_noted(tmp_path))) == 3)
        assert comes_true((tmp_path / "ready").exists)
        running.send_signal(signum)
        assert comes_true(lambda: members(group_noted(tmp_path)) == [])
        assert running.wait(HUNG) == -signum
    finally:
        for process in members(running.pid):  # what it forked
            os.kill(process, signal.SIGKILL)
        running.wait()
