"""Answers that are too long, broken or random: each has a verdict and a reason, and none raises."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import no_hang, work
from observer.types import RefusedError, Verdict
from observer.verifier.verify import ISOLATED, KINDS, MAX_LENGTH, infer_kind, verify
from tables import holds_for

SHAPES = ("square", "dot", "circle")
GOLDS = {
    "integer": "7",
    "number": "0.25",
    "choice": "C",
    "multi_select": "A, C",
    "yes_no": "yes",
    "time": "14:35",
    "ratio": "3:4",
    "tuple": "(3,4)",
    "interval": "[3, 4)",
    "set": "{3, 4}",
    "list": "1228 142.67",
    "expression": "x+2",
    "text": "red",
}
LINEAR = [kind for kind in KINDS if kind not in ISOLATED]


def right(gold, prediction, kind, options=()):
    return verify(gold, prediction, kind, options)[0] is Verdict.CORRECT


HOSTILE = [
    "\0",
    "\ud800",
    "9" * 100_000,
    "1," * 50_000,
    "$" * 100_000,
    "{" * 100_000,
    r"\boxed{" * 15_000,
    "(" * 100_000,
    "1/" * 50_000,
    "e" * 100_000,
    r"\frac{" * 15_000,
    "." * 100_000,
    "-" * 100_000,
    "A. " * 30_000,
    " " * 100_000,
]


@holds_for("kind", LINEAR)
@holds_for("size", [MAX_LENGTH, None])
def test_hostile_predictions_are_wrong_and_hang_nothing(kind, size):
    for prediction in HOSTILE:
        with no_hang():  # milliseconds
            verdict, reason = verify(GOLDS[kind], prediction[:size], kind)
        assert verdict is Verdict.WRONG
        assert reason
        assert len(reason) < 500
        assert reason.isascii() or reason.isprintable()


@holds_for("kind", LINEAR)
def test_the_work_on_a_hostile_prediction_grows_linearly(kind):
    for prediction in HOSTILE:
        for size in (MAX_LENGTH, 100_000):  # the longer ones are not read
            half, whole = (
                work(lambda p=prediction[:n]: verify(GOLDS[kind], p, kind)) for n in (size // 2, size)
            )
            assert whole < 2.1 * half + 500, prediction[:9]


@pytest.mark.slow
@holds_for("kind", LINEAR)
@holds_for("size", [MAX_LENGTH, None])
def test_hostile_predictions_take_two_seconds_at_most(kind, size):
    start = time.thread_time()
    for prediction in HOSTILE:
        verify(GOLDS[kind], prediction[:size], kind)
    assert time.thread_time() - start < 2.0


def test_a_prediction_over_the_limit_is_wrong_and_says_so():
    padded = "0" * MAX_LENGTH + "7"
    assert verify("7", padded, "integer") == (
        Verdict.WRONG,
        f"the answer is over 1000 characters long: {'0' * 60!r} .. (1001 characters)",
    )
    assert right("7", padded[1:], "integer")
    assert right("7", " " * MAX_LENGTH + "7", "integer")


@holds_for("kind", KINDS)
def test_no_answer_is_wrong(kind):
    assert verify(GOLDS[kind], None, kind) == (Verdict.WRONG, "there is no answer")


FRAGMENTS = [
    "$",
    "\\(",
    "\\)",
    "\\boxed{",
    "\\text{",
    "{",
    "}",
    "\\frac{",
    "7",
    "1,234",
    ".",
    "e",
    "/",
    "%",
    "\\",
    "-",
]
FRAGMENTS += [
    "(",
    ")",
    "A",
    "C. ",
    " ",
    "\u2212",
    "\0",
    "\ud800",
    "\u202e",
    "\\times",
    "10^",
    "square",
    "\uff17",
]
ANY_TEXT = st.text(st.characters(), max_size=40) | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(
    "".join
)


@settings(max_examples=150, deadline=None)
@given(prediction=ANY_TEXT, gold=ANY_TEXT, options=st.sampled_from([(), SHAPES, ("", "A")]))
def test_the_verifier_never_raises_and_always_says_why(prediction, gold, options):
    for kind in LINEAR:
        for answer in (gold, GOLDS[kind]):
            verdict, reason = verify(answer, prediction, kind, options)
            assert isinstance(verdict, Verdict)
            assert reason.encode()


@settings(max_examples=100, deadline=None)
@given(gold=ANY_TEXT)
def test_a_gold_answer_of_a_known_kind_is_its_own_right_answer(gold):
    try:
        kind = infer_kind(gold)
    except RefusedError:
        return
    assert kind in ISOLATED or right(gold, gold, kind)


@settings(max_examples=100, deadline=None)
@given(value=st.integers(-(10**30), 10**30), other=st.integers(-100, 100))
def test_two_integers_are_equal_only_when_they_are(value, other):
    assert right(f"{value:,}", str(value), infer_kind(f"{value:,}"))
    assert right(str(value), str(value + other), "integer") is (other == 0)


def test_marks_that_show_nothing_are_not_read():
    for prediction in ("\u202e7", "7\u200b", "\ufeff7", "\u20667\u2069", "\u200b 7 \u200b"):
        assert right("7", prediction, "integer")
    assert not right("red", "\u202eder", "text")


@holds_for("kind", LINEAR)
@holds_for("mark", ["\0", "\x1b", "\x7f", "\x85\x80", "\ud800"])
def test_control_characters_are_wrong_wherever_they_stand(kind, mark):
    for prediction in (mark, GOLDS[kind] + mark, mark + GOLDS[kind], f"{GOLDS[kind]}{mark} "):
        verdict, reason = verify(GOLDS[kind], prediction, kind)
        assert verdict is Verdict.WRONG
        assert "control characters" in reason
