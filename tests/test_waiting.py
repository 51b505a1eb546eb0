"""What a run waits for is named once it takes long; what is fast says nothing."""

import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tqdm
from rich.console import Console
from rich.progress import Progress

from observer.run import waiting as module
from observer.run.waiting import FILE, Watch, set_waits, waiting
from processes import HUNG, forked
from waited import hearing

ROOT = Path(__file__).parent.parent
CLOCK_TIME = re.compile(r"since \d\d:\d\d:\d\d")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def heard(clock):
    """The lines of a watch that looks when it is told to, from 60 seconds on."""
    with hearing(60.0, clock) as found:
        yield found


def after(seconds, clock, heard):
    """Let time pass and look; return what is said, without the time of the day."""
    clock.now += seconds
    before = len(heard.lines)
    heard.watch.look()
    return [CLOCK_TIME.sub("since ..", line) for line in heard.lines[before:]]


def test_what_is_fast_says_nothing(clock, heard):
    with waiting("a file is written"):
        assert after(59.9, clock, heard) == []
    assert after(1000, clock, heard) == []
    assert heard.watch.innermost == {}


def test_what_is_slow_is_named_after_the_time_at_doublings_and_when_it_is_over(clock, heard):
    with waiting("the engine draws completions", "4 for each of 2 rows"):
        said = [(seconds, line) for seconds in range(10, 300, 10) for line in after(10, clock, heard)]
    what = "the engine draws completions (4 for each of 2 rows)"
    assert said == [
        (seconds, f"observer: waiting for {seconds} s, since ..: {what}") for seconds in (60, 120, 240)
    ]
    assert after(0, clock, heard) == [f"observer: over after 290 s: {what}"]
    assert after(1000, clock, heard) == []


def test_a_look_that_comes_late_names_a_wait_once(clock, heard):
    with waiting("a file is written"):
        assert len(after(500, clock, heard)) == 1
        assert after(450, clock, heard) == []
        assert len(after(10, clock, heard)) == 1


def test_the_innermost_wait_is_named_with_those_around_it_in_one_line(clock, heard):
    with waiting("completions are scored", "step 3"):
        clock.now += 40
        with waiting("answers are checked", lambda: "1 of 2 by now"):
            [line] = after(20, clock, heard)
            inner = "observer: waiting for 20 s, since ..: answers are checked (1 of 2 by now)"
            assert line == f"{inner}, in completions are scored (step 3) (60 s)"
            assert len(after(40, clock, heard)) == 1
        assert after(0, clock, heard) == ["observer: over after 60 s: answers are checked (1 of 2 by now)"]
        [line] = after(20, clock, heard)
        assert line == "observer: waiting for 120 s, since ..: completions are scored (step 3)"


def test_what_always_takes_long_is_named_anew_from_twice_its_longest_on(clock, heard):
    with waiting("the engine draws completions"):
        assert len(after(100, clock, heard)) == 1
    assert after(0, clock, heard) == ["observer: over after 100 s: the engine draws completions"]
    with waiting("the engine draws completions"):
        assert after(199, clock, heard) == []
        assert len(after(1, clock, heard)) == 1
    with waiting("a file is written"):
        assert len(after(60, clock, heard)) == 1 + 1  # the end of the one before


def test_a_wait_that_ends_by_an_error_says_so_and_leaves_no_trace(clock, heard):
    def interrupted():
        with waiting("a judge answers"):
            after(60, clock, heard)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert after(0, clock, heard) == ["observer: over after 60 s, by KeyboardInterrupt: a judge answers"]
    assert heard.watch.innermost == {}


def test_waits_of_generators_may_end_in_another_order(clock, heard):
    first, second = waiting("first"), waiting("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    [line] = after(60, clock, heard)
    assert line.endswith(": second")
    second.__exit__(None, None, None)
    assert heard.watch.innermost == {}


def test_each_thread_has_waits_of_its_own(clock, heard):
    inside, go = threading.Event(), threading.Event()

    def other():
        with waiting("a reward is computed"):
            inside.set()
            go.wait(HUNG)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(HUNG)
    with waiting("answers are checked"):
        assert sorted(line.partition(": ")[2] for line in after(60, clock, heard)) == [
            "waiting for 60 s, since ..: a reward is computed",
            "waiting for 60 s, since ..: answers are checked",
        ]
    go.set()
    thread.join()


def test_a_detail_that_cannot_be_told_hides_no_wait(clock, heard):
    with waiting("answers are checked", lambda: {}["gone"]):
        [line] = after(60, clock, heard)
    assert line.endswith("answers are checked (more is not known: KeyError)")


def test_control_characters_of_a_row_do_not_reach_the_terminal(clock, heard):
    with waiting("rows are read", "a\x1b[31mb\nc"):
        [line] = after(60, clock, heard)
    assert not {"\x1b", "\n"} & {*line}


def test_without_a_time_nothing_is_named(clock, heard):
    set_waits(None, None)
    with waiting("the engine starts"):
        assert after(10**6, clock, heard) == []


def test_the_run_keeps_each_line_and_the_rank(tmp_path, clock, heard, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    set_waits(60.0, tmp_path)
    with waiting("completions are scored", "step 3"), waiting("answers are checked"):
        [line] = after(60, clock, heard)
    assert line.startswith("observer: rank 1: waiting for 60 s")
    after(0, clock, heard)
    records = [json.loads(text) for text in (tmp_path / FILE).read_text().splitlines()]
    assert all(record.pop("at") for record in records)
    scored = "completions are scored (step 3)"
    assert records == [
        {"rank": 1, "waiting": "answers are checked", "seconds": 60.0, "within": [scored]},
        {"rank": 1, "over": "answers are checked", "seconds": 60.0},
        {"rank": 1, "over": scored, "seconds": 60.0},
    ]


def test_a_run_directory_that_cannot_be_written_ends_nothing(tmp_path, clock, heard):
    set_waits(60.0, tmp_path / "gone")
    with waiting("a file is written"):
        assert len(after(60, clock, heard)) == 1


def test_a_real_thread_says_it_while_the_process_waits():
    with hearing(0.01) as heard:
        with waiting("the engine starts"):
            heard.until("the engine starts")
        heard.until("over after")
    assert len(heard.lines) >= 2


def named_in_the_copy():
    """The waits that a process starts with, and what it says of one of its own."""
    inherited = len(module.WATCH.innermost)
    with hearing(0.01) as heard, waiting("of the copy"):
        heard.until("of the copy")
        return inherited, heard.lines[0]


def test_a_forked_process_has_no_waits_and_a_thread_of_its_own():
    with hearing(0.01) as heard, waiting("of the process"):
        heard.until("of the process")
        inherited, line = forked(named_in_the_copy)
    assert inherited == 0
    assert CLOCK_TIME.sub("since ..", line).endswith("since ..: of the copy")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_stands_above_the_bar_of_a_run(monkeypatch):
    output = Terminal()
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(console=Console(file=output, force_terminal=True, width=80), refresh_per_second=1) as bar:
        bar.add_task("step", total=2)
        module._print("observer: waiting")
    assert "observer: waiting\n" in output.getvalue()
    assert sys.stderr.getvalue() == ""


def test_a_line_stands_above_the_bars_of_tqdm(monkeypatch):
    output = Terminal()
    monkeypatch.setattr(sys, "stderr", output)
    with tqdm.tqdm(total=2, file=output) as bar:
        module._print("observer: waiting")
        bar.update()
    lines = [line.rpartition("\r")[2] for line in output.getvalue().split("\n")]
    assert "observer: waiting" in lines


@pytest.mark.whole
def test_a_process_ends_in_the_midst_of_a_wait_without_an_error():
    script = (
        "import sys; from observer.run.waiting import set_waits, waiting\n"
        "set_waits(0.001, None); waiting('forever').__enter__()\n"
        "assert 'torch' not in sys.modules; print('done')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert all("observer: " in line for line in done.stderr.splitlines())


def test_a_closed_standard_error_ends_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for output in (closed, None):
        monkeypatch.setattr(sys, "stderr", output)
        module._print("observer: waiting")
    assert Watch(None).after is None
