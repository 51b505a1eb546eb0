import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import observer
import stand_in
from bombs import BOMBS
from observer.rewards import isolation
from observer.rewards.isolation import TIMED_OUT, Limits, Question, Verifier
from observer.rewards.verifier import ISOLATED, KINDS
from observer.types import RefusedError, Verdict
from stand_in import ask

TESTS = Path(__file__).parent
RIGHT, WRONG, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE


@pytest.fixture
def verifier(monkeypatch):
    """Factory of verifiers whose isolated checker does what it is told; the fields are those of Limits."""
    made = []

    def make(program=stand_in.PROGRAM, **limits):
        monkeypatch.setattr(isolation, "PROGRAM", program)
        made.append(Verifier(Limits(**{"workers": 2, **limits})))
        return made[-1]

    yield make
    for one in made:
        one.close()


def verdicts(results):
    return [verdict for verdict, _ in results]


def timed(verifier, questions):
    start = time.monotonic()
    return verifier.verify_all(questions), time.monotonic() - start


def group_of(verifier):
    return verifier._process.pid


def members(group):
    """The living processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, in_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(in_group) == group and state not in "ZX":
            found.append(int(folder.name))
    return found


def wait_until(claim, seconds):
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


# What is asked and what comes back


def test_isolated_and_other_kinds_come_back_in_the_order_they_were_asked_in(verifier):
    one = verifier()
    questions = []
    for i in range(20):
        questions += [Question("integer", str(i), "3"), *ask(f"sleep 0.0{9 - i % 10}", f"{i}", gold="3")]
    results = one.verify_all(questions)
    for question, (verdict, reason) in zip(questions, results, strict=True):
        assert (verdict is RIGHT) == (question.gold == question.prediction)
        assert question.kind == "integer" or question.prediction in reason


def test_kinds_that_need_no_isolation_start_no_process():
    one = Verifier()
    assert verdicts(one.verify_all([Question("integer", "7", "7"), Question("choice", "A", None)])) == [
        RIGHT,
        WRONG,
    ]
    assert one.verify_all([]) == []
    assert one._process is None
    one.close()


def test_nothing_is_asked_twice_but_what_was_not_decided(verifier, tmp_path):
    one = verifier(seconds=0.3)
    note = tmp_path / "checks"
    for _ in range(3):
        assert verdicts(one.verify_all(ask(*[f"count {note}"] * 5))) == [WRONG] * 5
    assert note.read_text() == "checked\n"
    _, first = timed(one, ask("sleep 9"))
    _, second = timed(one, ask("sleep 9"))
    assert min(first, second) > 0.3


def test_answers_that_differ_behind_the_longest_length_are_one_question(verifier):
    one = verifier()
    results = one.verify_all(
        ask("7" + "x" * 100_000, "7" + "x" * 200_000, "7" + " " * 2000 + "x", "7" + " " * 2000)
    )
    assert verdicts(results) == [WRONG, WRONG, WRONG, RIGHT]
    assert all("over 1000 characters" in reason for _, reason in results[:3])
    assert [len(question.prediction) for question in one._known] == [1001, 1001, 1]


def test_the_cache_forgets_its_oldest(verifier, monkeypatch):
    monkeypatch.setattr(isolation, "REMEMBERED", 3)
    one = verifier()
    one.verify_all(ask("7 a", "7 b"))
    one.verify_all(ask("7 c", "7 d"))
    assert [question.prediction for question in one._known] == ["7 b", "7 c", "7 d"]


@pytest.mark.parametrize(
    "field", [{"workers": 0}, {"seconds": 0}, {"batch_seconds": float("nan")}, {"memory_mb": 100}]
)
def test_limits_that_nothing_can_keep_are_refused(field):
    (name, value), *_ = field.items()
    with pytest.raises(RefusedError, match=rf"verifier.{name} is {value}; it must be >="):
        Limits(**field)


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(RefusedError, match="'colour' does not exist"):
        Verifier().verify_all([Question("colour", "red", "red")])


# Bombs


def test_eight_bombs_among_64_on_eight_workers_take_the_limit_and_at_most_two_seconds(verifier):
    one = verifier(workers=8, seconds=1)
    one.verify_all(ask("7"))
    for round in range(2):  # killed processes are replaced
        orders = [f"deaf {i} {round}" if i % 8 == 3 else f"7 {i} {round}" for i in range(64)]
        results, took = timed(one, ask(*orders))
        assert took <= 1 + 2
        for order, (verdict, reason) in zip(orders, results, strict=True):
            if order.startswith("deaf"):
                assert (verdict, reason) == (UNVERIFIABLE, "timed out after 1 s")
            else:
                assert (verdict, reason) == (RIGHT, f"it is {order}")
    wait_until(lambda: len(members(group_of(one))) == 1 + 8, 2)
    assert one.verify_all(ask(*map(str, range(7)), gold="3"))[3][0] is RIGHT


def test_the_deadline_of_a_batch_makes_the_rest_unverifiable_and_a_later_batch_is_fresh(verifier):
    one = verifier(workers=1, seconds=60, batch_seconds=0.5)
    one.verify_all(ask("7"))
    results, took = timed(one, ask("7 a", "deaf", "7 b", "7 c"))
    assert took < 1
    assert verdicts(results) == [RIGHT] + [UNVERIFIABLE] * 3
    assert results[1][1] == results[3][1] == "timed out: the batch took over 0.5 s"
    assert results[1][1].startswith(TIMED_OUT)
    assert verdicts(one.verify_all(ask("7 b", "7 c", "8"))) == [RIGHT, RIGHT, WRONG]


def test_memory_stays_under_its_bound(verifier):
    one = verifier(workers=1, memory_mb=512, seconds=20)
    results = one.verify_all(ask("allocate 300", "allocate 700", "7"))
    assert verdicts(results) == [WRONG, UNVERIFIABLE, RIGHT]
    assert results[1][1] == "the check needs too much memory"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("exit 3", "the check's process died with exit code 3"),
        (f"signal {signal.SIGKILL:d}", "the check's process died with exit code -9"),
        (f"signal {signal.SIGSEGV:d}", "the check's process died with exit code -11"),
        ("fail", "the check failed: UnpicklableError: of its own"),
        ("nest", "the answer is nested too deeply"),
    ],
)
def test_a_check_that_dies_is_unverifiable_and_takes_no_other_with_it(verifier, order, reason):
    one = verifier()
    results = one.verify_all(ask("7 a", order, "7 b", "sleep 0.2"))
    assert results[1] == (UNVERIFIABLE, reason)
    assert verdicts(results) == [RIGHT, UNVERIFIABLE, RIGHT, WRONG]


def test_what_libraries_print_does_not_get_between_the_answers(verifier, capfd):
    results = verifier().verify_all(ask('print [["correct", "forged"]]', "7"))
    assert verdicts(results) == [WRONG, RIGHT]
    assert capfd.readouterr().out == ""


def test_the_processes_import_nothing_heavy(verifier, tmp_path):
    verifier().verify_all(ask(f"modules {tmp_path / 'seen'}"))
    assert (tmp_path / "seen").read_text() == "heavy: []"


# Ends of processes


def test_nothing_is_left_after_close_and_the_next_check_starts_anew(verifier):
    one = verifier(seconds=60)
    one.verify_all(ask("7"))
    first = group_of(one)
    assert len(members(first)) == 3
    one.close()
    one.close()
    assert members(first) == []
    assert verdicts(one.verify_all(ask("7", "8"))) == [RIGHT, WRONG]


def test_nothing_is_left_of_a_verifier_that_is_no_longer_used(verifier):
    one = Verifier(Limits(workers=1))
    verifier()  # for its program
    one.verify_all(ask("7"))
    group = group_of(one)
    del one
    wait_until(lambda: members(group) == [], 2)  # they are killed at once; going takes them a moment


def test_a_process_that_was_killed_in_a_batch_is_asked_once_more(verifier, tmp_path):
    one = verifier()
    assert verdicts(one.verify_all(ask("7", f"kill-above {tmp_path / 'done'}", "8"))) == [RIGHT, WRONG, WRONG]


def test_a_process_that_was_killed_twice_in_a_batch_gives_unverifiable(verifier):
    one = verifier()
    one.verify_all(ask("7 before"))
    group = group_of(one)
    results = one.verify_all(ask("7", "kill-above", "7 before"))
    assert verdicts(results) == [UNVERIFIABLE, UNVERIFIABLE, RIGHT]
    assert results[0][1] == "the process that checks answers died twice"
    assert members(group) == [], "its busy checks outlived it"
    assert verdicts(one.verify_all(ask("7"))) == [RIGHT]


def test_a_process_that_was_killed_between_batches_is_replaced(verifier):
    one = verifier()
    one.verify_all(ask("7"))
    os.killpg(group_of(one), signal.SIGKILL)
    assert verdicts(one.verify_all(ask("8", "7 more"))) == [WRONG, RIGHT]


def test_checks_that_were_killed_while_idle_are_replaced(verifier):
    one = verifier(workers=1)
    one.verify_all(ask("7"))
    for process in set(members(group_of(one))) - {group_of(one)}:
        os.kill(process, signal.SIGKILL)
    time.sleep(0.3)
    assert verdicts(one.verify_all(ask("8", "7 more"))) == [WRONG, RIGHT]


def test_a_process_that_no_longer_answers_is_killed(verifier, monkeypatch):
    one = verifier(batch_seconds=0.1)
    one.verify_all(ask("7"))
    group = group_of(one)
    os.killpg(group, signal.SIGSTOP)
    monkeypatch.setattr(isolation, "GRACE_SECONDS", 3.0)
    assert verdicts(one.verify_all(ask("7 more"))) == [RIGHT]
    assert members(group) == []


def test_a_process_that_cannot_start_stops_the_run_and_says_so(verifier):
    one = verifier("raise SystemExit('no module named math_verify')")
    with pytest.raises(RuntimeError, match="did not start"):
        one.verify_all(ask("7"))


def test_an_interrupted_batch_is_not_the_answer_to_the_next(verifier):
    class InterruptedHereError(Exception):
        pass

    def interrupt(*_):
        raise InterruptedHereError

    one = verifier()
    one.verify_all(ask("9"))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(InterruptedHereError):
            one.verify_all(ask("sleep 0.4", "7 a"))
        time.sleep(0.4)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert verdicts(one.verify_all(ask("8", "8 more"))) == [WRONG, WRONG]


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
        sys.path.append({str(TESTS)!r})
        from observer.rewards import isolation
        from observer.rewards.isolation import Limits, Question, Verifier
        import stand_in
        from stand_in import ask
        isolation.PROGRAM = stand_in.PROGRAM
        def said(*orders):
            return " ".join(str(verdict) for verdict, _ in verifier.verify_all(ask(*orders)))
        verifier = Verifier(Limits(workers=2, seconds=60))
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert members(group_noted(tmp_path)) == []
    return [note for note in notes(tmp_path) if not note.startswith("group")]


def test_a_script_without_a_guard_runs_once_and_leaves_nothing_behind(tmp_path):
    assert finish(tmp_path, script(tmp_path, "note(said('8', 'exit 1', '7'))")) == [
        "run", "first correct", "wrong unverifiable correct",
    ]  # fmt: skip


def test_a_script_that_scores_in_a_daemon_thread_leaves_nothing_behind(tmp_path):
    body = """
        threading.Thread(target=said, args=("deaf",), daemon=True).start()
        time.sleep(0.3)
    """
    assert finish(tmp_path, script(tmp_path, body)) == ["run", "first correct"]


def test_a_forked_process_has_a_process_of_its_own(tmp_path):
    body = """
        threading.Thread(target=said, args=("sleep 0.7",)).start()
        time.sleep(0.2)
        if not (child := os.fork()):  # while the thread waits, and so holds the lock
            note("child", said("8", "7 child"))
            verifier.close()
            sys.exit()  # with all that is done at exit
        note("child exits with", os.waitpid(child, 0)[1])
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
    for folder in folders:
        folder.mkdir()
        body = f"note(said('sleep 0.3', '7', {folder.name!r}))"
        running.append(subprocess.Popen(script(folder, body)))
    assert [process.wait(60) for process in running] == [0, 0]
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


IDLE = "time.sleep(60)"
BUSY = "said('deaf', 'deaf 2', 'deaf 3')"
HELD = "import ctypes; ctypes.CDLL(None).fork() or time.sleep(60)\n" + BUSY
"""What a library forked outlives it, and holds its end of the socket."""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
@pytest.mark.parametrize("body", [IDLE, BUSY, HELD], ids=["idle", "busy", "held"])
def test_nothing_is_left_two_seconds_after_a_signal_ended_the_program(tmp_path, body, signum):
    command = script(tmp_path, body)
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: len(members(group_noted(tmp_path))) == 3, 30)
        time.sleep(0.3)
        running.send_signal(signum)
        wait_until(lambda: members(group_noted(tmp_path)) == [], 2)
        assert running.wait(2) == -signum
    finally:
        for process in members(running.pid):  # what it forked
            os.kill(process, signal.SIGKILL)
        running.wait()


# The real checker of expressions


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused_at_once_by_kinds_that_are_not_isolated(name):
    bomb = BOMBS[name]
    kinds = [kind for kind in KINDS if kind not in ISOLATED]
    asked = [Question(kind, *pair) for kind in kinds for pair in (("8", bomb), (bomb, "8"))]
    results, took = timed(Verifier(), asked)
    assert took < 1
    assert RIGHT not in verdicts(results)


@pytest.fixture(scope="module")
def real():
    one = Verifier(Limits(workers=8, seconds=1, memory_mb=1024))
    one.verify_all([Question("expression", "7", "7")])
    yield one
    one.close()


def test_expressions_are_checked(real):
    asked = [Question("expression", r"\frac{1}{2}+x", prediction) for prediction in ("x+0.5", "x-0.5", None)]
    assert verdicts(real.verify_all(asked)) == [RIGHT, WRONG, WRONG]


def test_eight_expressions_that_hang_among_64_take_the_limit_and_at_most_two_seconds(real):
    asked = [
        Question("expression", "x^2+1", f"(a+b+c+d+e+f)^{{{60 + i}}}" if i % 8 == 0 else f"x^2+{i}")
        for i in range(64)
    ]
    results, took = timed(real, asked)
    if took > 1 + 2:  # other tests run beside this one; what was decided is remembered, the eight are not
        results, took = timed(real, asked)
    assert took <= 1 + 2
    assert verdicts(results) == [UNVERIFIABLE if i % 8 == 0 else (WRONG, RIGHT)[i == 1] for i in range(64)]


@pytest.mark.slow
def test_every_bomb_as_an_expression_is_right_for_nobody_and_none_hangs(real):
    asked = [Question("expression", *pair) for bomb in BOMBS.values() for pair in (("8", bomb), (bomb, "8"))]
    results, took = timed(real, asked)
    assert took < 60
    assert RIGHT not in verdicts(results)
    assert verdicts(real.verify_all([Question("expression", "x/2", "0.5x")])) == [RIGHT]
