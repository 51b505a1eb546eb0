"""What the tests hold themselves to: each asserts, none goes by the clock, none depends on who started it."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processes import DEFAULTS, interruptible

TESTS = Path(__file__).parent
CLOCKS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns", "process_time"}
"""Functions of ``time`` that other processes of the machine run into; ``thread_time`` counts work alone."""
READ_A_CLOCK = ["helpers/isolating.py", "test_ablation_kills.py", "test_chaos.py"]
"""They end what hangs, and no claim goes by what they read."""


def parsed():
    """File name -> its syntax tree, for all that is in the folder of the tests."""
    return {
        str(path.relative_to(TESTS)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(TESTS.rglob("*.py"))
    }


def claims_of(tree):
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def asserts(test):
    """Whether a reader sees what a test claims: ``assert``, ``pytest.raises``, ``assert_close`` ..."""
    called = (ast.unparse(node.func) for node in ast.walk(test) if isinstance(node, ast.Call))
    return any(isinstance(node, ast.Assert) for node in ast.walk(test)) or any(
        name in ("pytest.raises", "pytest.warns") or name.rpartition(".")[2].startswith("assert_")
        for name in called
    )


def clocks_of(tree):
    """The clocks that a file reads; what it replaces is no such."""
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "time"
        and node.func.attr in CLOCKS
    } | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in CLOCKS
    }


def test_every_test_asserts_where_a_reader_sees_it():
    found = [(file, test) for file, tree in parsed().items() for test in claims_of(tree)]
    assert len(found) > 1000
    assert [f"{file}: {test.name}" for file, test in found if not asserts(test)] == []


def test_no_claim_goes_by_the_clock():
    assert sorted(file for file, tree in parsed().items() if clocks_of(tree)) == READ_A_CLOCK


@pytest.fixture
def ignored(request):
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in DEFAULTS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", DEFAULTS, ids=lambda signum: signum.name)
def test_a_signal_ends_what_a_test_starts_although_it_was_ignored(ignored, signum):
    with interruptible():
        child = subprocess.Popen(["sleep", "600"])
    child.send_signal(signum)
    assert child.wait() == -signum
    assert signal.getsignal(signum) is signal.SIG_IGN


@pytest.mark.slow
def test_the_tests_pass_when_they_are_started_with_signals_ignored():
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "signal or exit_codes"]
    files = ["tests/test_isolation_scripts.py", "tests/test_interrupt.py"]
    trapped = ["bash", "-c", "trap '' INT TERM USR1; exec \"$@\"", "bash", *words, *files]
    done = subprocess.run(trapped, cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_process_that_hands_out_tests_imports_nothing_heavy():
    script = "import sys; sys.path[:0] = sys.argv[1:]; import conftest; print(*sys.modules)"
    words = [sys.executable, "-c", script, str(TESTS.parent), str(TESTS), str(TESTS / "helpers")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "transformers", "torchmetrics", "pyarrow"}
    assert heavy & set(done.stdout.split()) == set()
