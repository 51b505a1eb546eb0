import os
import signal
import threading
from pathlib import Path

import pytest

from isolating import RIGHT, UNVERIFIABLE, WRONG, comes_true, group_of, members, verdicts
from observer.types import RefusedError
from observer.verifier import verifier as verifier_module
from observer.verifier.verifier import Limits, Question, Result, Verifier
from processes import HUNG
from stand_in import ask

pytestmark = pytest.mark.whole

# What is asked and what comes back


def test_isolated_and_other_kinds_come_back_in_the_order_they_were_asked_in(verifier):
    one = verifier()
    questions = []
    for i in range(20):
        questions += [Question("integer", str(i), "3"), *ask(f"sleep 0.0{9 - i % 10}", f"{i}", gold="3")]
    results = one.verify_all(questions)
    for question, result in zip(questions, results, strict=True):
        assert (result.verdict is RIGHT) == (question.gold == question.prediction)
        assert question.kind == "integer" or question.prediction in result.reason
        assert result.finished
        assert not result.timed_out


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
    one = verifier(seconds=0.5)
    decided, hung = tmp_path / "decided", tmp_path / "hung"
    for _ in range(3):
        assert verdicts(one.verify_all(ask(*[f"count {decided}"] * 5))) == [WRONG] * 5
    assert decided.read_text() == "checked\n"
    for _ in range(2):
        assert verdicts(one.verify_all(ask(*[f"hang {hung}"] * 5))) == [UNVERIFIABLE] * 5
    assert hung.read_text() == "checked\n" * 2


def test_answers_that_differ_behind_the_longest_length_are_one_question(verifier):
    one = verifier()
    results = one.verify_all(
        ask("7" + "x" * 100_000, "7" + "x" * 200_000, "7" + " " * 2000 + "x", "7" + " " * 2000)
    )
    assert verdicts(results) == [WRONG, WRONG, WRONG, RIGHT]
    assert all("over 1000 characters" in result.reason for result in results[:3])
    assert [len(question.prediction) for question in one._known] == [1001, 1001, 1]


def test_the_cache_forgets_its_oldest(verifier, monkeypatch):
    monkeypatch.setattr(verifier_module, "REMEMBERED", 3)
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


def test_a_batch_that_is_checked_in_time_takes_half_of_its_deadline_at_most():
    assert Limits(workers=4, seconds=5, batch_seconds=120).answers_in_time == 48
    assert Limits(workers=1, seconds=60, batch_seconds=1).answers_in_time == 1


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(RefusedError, match="'colour' does not exist"):
        Verifier().verify_all([Question("colour", "red", "red")])


# Bombs


def bombs_among_64(round):
    return [f"deaf {i} {round}" if i % 8 == 3 else f"7 {i} {round}" for i in range(64)]


def test_eight_bombs_among_64_on_eight_workers_are_timed_out_and_nothing_else_is(verifier):
    one = verifier(workers=8, seconds=1)
    one.verify_all(ask("7"))
    for round in range(2):  # killed processes are replaced
        orders = bombs_among_64(round)
        for order, result in zip(orders, one.verify_all(ask(*orders)), strict=True):
            if order.startswith("deaf"):
                late = Result(UNVERIFIABLE, "timed out after 1 s", finished=False, timed_out=True)
                assert result == late
            else:
                assert result == Result(RIGHT, f"it is {order}")
    assert comes_true(lambda: len(members(group_of(one))) == 1 + 8)
    assert one.verify_all(ask(*map(str, range(7)), gold="3"))[3].verdict is RIGHT


def test_as_many_answers_are_checked_at_once_as_there_are_workers(verifier, tmp_path):
    """So that eight bombs on eight workers take their limit once, not eight times."""
    one = verifier(workers=8, seconds=HUNG, batch_seconds=HUNG)
    results = one.verify_all(ask(*[f"meet {tmp_path} 8 {i}" for i in range(8)]))
    assert all(result.finished for result in results)
    assert len(list(tmp_path.iterdir())) == 8


def test_the_deadline_of_a_batch_makes_the_rest_unverifiable_and_a_later_batch_is_fresh(verifier):
    one = verifier(workers=1, seconds=600, batch_seconds=1)
    one.verify_all(ask("7"))
    group = group_of(one)
    results = one.verify_all(ask("7 a", "deaf", "7 b", "7 c"))
    assert verdicts(results) == [RIGHT] + [UNVERIFIABLE] * 3
    assert results[1].reason == results[3].reason == "timed out: the batch took over 1 s"
    assert [result.finished for result in results] == [True, False, False, False]
    assert [result.timed_out for result in results] == [False, True, True, True]
    assert comes_true(lambda: members(group) == []), "its busy check outlived the batch"
    one.limits = Limits(workers=1, batch_seconds=HUNG)
    assert verdicts(one.verify_all(ask("7 b", "7 c", "8"))) == [RIGHT, RIGHT, WRONG]


def test_memory_stays_under_its_bound(verifier):
    one = verifier(workers=1, memory_mb=512, seconds=HUNG)
    results = one.verify_all(ask("allocate 300", "allocate 700", "7"))
    assert verdicts(results) == [WRONG, UNVERIFIABLE, RIGHT]
    assert results[1].reason == "the check needs too much memory"


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
    assert results[1] == Result(UNVERIFIABLE, reason, finished=False, timed_out=False)
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
    assert comes_true(lambda: members(first) == [])  # they are killed at once; going takes them a moment
    assert verdicts(one.verify_all(ask("7", "8"))) == [RIGHT, WRONG]


def test_nothing_is_left_of_a_verifier_that_is_no_longer_used(verifier):
    one = Verifier(Limits(workers=1))
    verifier()  # for its program
    one.verify_all(ask("7"))
    group = group_of(one)
    del one
    assert comes_true(lambda: members(group) == [])  # they are killed at once; going takes them a moment


def test_a_process_that_was_killed_in_a_batch_is_asked_once_more(verifier, tmp_path):
    one = verifier()
    assert verdicts(one.verify_all(ask("7", f"kill-above {tmp_path / 'done'}", "8"))) == [RIGHT, WRONG, WRONG]


def test_a_process_that_was_killed_twice_in_a_batch_gives_unverifiable(verifier):
    one = verifier()
    one.verify_all(ask("7 before"))
    group = group_of(one)
    results = one.verify_all(ask("7", "kill-above", "7 before"))
    assert verdicts(results) == [UNVERIFIABLE, UNVERIFIABLE, RIGHT]
    assert results[0].reason == "the process that checks answers died twice"
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
    killed = set(members(group_of(one))) - {group_of(one)}
    assert len(killed) == 1
    for process in killed:
        os.kill(process, signal.SIGKILL)
    assert comes_true(lambda: not any(Path(f"/proc/{process}").exists() for process in killed))
    assert verdicts(one.verify_all(ask("8", "7 more"))) == [WRONG, RIGHT]


def test_a_process_that_no_longer_answers_is_killed(verifier, monkeypatch):
    one = verifier(batch_seconds=HUNG)
    one.verify_all(ask("7"))
    group, start = group_of(one), one._start
    os.killpg(group, signal.SIGSTOP)

    def start_anew():
        monkeypatch.setattr(verifier_module, "GRACE_SECONDS", HUNG)
        start()

    monkeypatch.setattr(verifier_module, "GRACE_SECONDS", 0.2 - HUNG)  # a moment, for the stopped one
    monkeypatch.setattr(one, "_start", start_anew)
    assert verdicts(one.verify_all(ask("7 more"))) == [RIGHT]
    assert members(group) == []


def test_a_process_that_cannot_start_stops_the_run_and_says_so(verifier):
    one = verifier("raise SystemExit('no module named math_verify')")
    with pytest.raises(RuntimeError, match="did not start"):
        one.verify_all(ask("7"))


def test_an_interrupted_batch_is_not_the_answer_to_the_next(verifier, tmp_path):
    class InterruptedHereError(Exception):
        pass

    def interrupt(*_):
        raise InterruptedHereError

    def interrupt_once_checked():
        comes_true((tmp_path / "checks").exists)
        os.kill(os.getpid(), signal.SIGALRM)

    one = verifier(seconds=HUNG, batch_seconds=HUNG)
    one.verify_all(ask("9"))
    group = group_of(one)
    before = signal.signal(signal.SIGALRM, interrupt)
    interruption = threading.Thread(target=interrupt_once_checked)
    try:
        interruption.start()
        with pytest.raises(InterruptedHereError):
            one.verify_all(ask(f"hang {tmp_path / 'checks'}", "7 a"))
    finally:
        interruption.join()
        signal.signal(signal.SIGALRM, before)
    assert comes_true(lambda: members(group) == []), "it may still answer"
    assert verdicts(one.verify_all(ask("8", "8 more"))) == [WRONG, WRONG]
