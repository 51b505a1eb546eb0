"""What holds of every answer of a kind, whatever it is."""

import time
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import no_hang, work
from observer.types import Verdict
from observer.verifier.kinds.number import read_number
from observer.verifier.kinds.units import read_unit
from observer.verifier.verify import ISOLATED, KINDS, MAX_LENGTH, infer_kind, verify

INTEGERS = st.integers(-(10**12), 10**12).map(str)
DECIMALS = st.decimals(-1000, 1000, places=3).map(str)
FRACTIONS = st.builds("{}/{}".format, st.integers(-99, 99), st.integers(1, 99))
UNITS = st.sampled_from(["", " cm", " kg", " km/h", "°", " m^2", " dollars", "%", r"\text{ cm}"])
NUMBERS = st.builds("{}{}".format, INTEGERS | DECIMALS | FRACTIONS, UNITS)
WORDS = st.text("abcdefghijklmnopqrstuvwxyzéß", min_size=1, max_size=8)
PARTS = st.lists(INTEGERS | DECIMALS | FRACTIONS | WORDS, min_size=2, max_size=5)
LETTERS = st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=1, max_size=5, unique=True)
ENDS = st.tuples(st.integers(-99, 99), st.integers(0, 99))
GOLDS = {
    "integer": INTEGERS,
    "number": NUMBERS,
    "choice": st.sampled_from("ABCDEFGHIJ") | st.builds("{}. {}".format, st.sampled_from("ABCD"), WORDS),
    "multi_select": LETTERS.map(", ".join),
    "yes_no": st.sampled_from(["yes", "no", "True", "FALSE", "Yes."]),
    "time": st.builds("{}:{:02}{}".format, st.integers(1, 12), st.integers(0, 59), st.sampled_from(["",
    " am", " pm"])),
    "ratio": st.lists(st.integers(1, 99), min_size=2, max_size=4).map(lambda terms: ":".join(map(str,
    terms))),
    "tuple": PARTS.map(lambda parts: f"({', '.join(parts)})"),
    "interval": st.builds(lambda ends, a, b: f"{a}{ends[0]}, {ends[0] + ends[1]}{b}", ENDS,
    st.sampled_from("(["), st.sampled_from(")]")),
    "set": PARTS.map(lambda parts: f"{{{', '.join(parts)}}}"),
    "list": PARTS.map(", ".join),
    "text": st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
}  # fmt: skip
GOLDED = st.one_of(*(st.tuples(st.just(kind), golds) for kind, golds in GOLDS.items()))
BLANK = st.text(" \t\n\u00a0\u2003\u200b\ufeff", max_size=4)
FRAGMENTS = [
    *("$", "\\(", "\\)", "\\boxed{", "\\text{", "{", "}", "\\frac{", "(", ")", "[", "]", "\\{", "\\}",
    "\\left", "\\infty", "∪", ","),
    *(";", ":", " and ", " or ", " to ", "7", "1,234", ".", "e", "/", "%", "-", "^", "A", "C. ", " ", "\0",
    "\ud800", "\u202e", "cm"),
    *("km/h", "°", "\\circ", "$5", "pm", "yes", "red", "10^", "\\times", "²", "½", "\uff17", "٧", "ﷺ", "per",
    "square"),
]  # fmt: skip
ANY_TEXT = st.text(max_size=40) | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


def test_every_kind_that_is_checked_here_has_its_answers():
    assert GOLDS.keys() == KINDS.keys() - ISOLATED


@settings(max_examples=200, deadline=None)
@given(golded=GOLDED)
def test_a_gold_answer_is_its_own_right_answer(golded):
    kind, gold = golded
    verdict, reason = verify(gold, gold, kind)
    assert verdict is Verdict.CORRECT, reason


@settings(max_examples=150, deadline=None)
@given(golded=GOLDED, other=GOLDED, blanks=st.tuples(BLANK, BLANK, BLANK, BLANK))
def test_outer_blanks_never_change_a_verdict(golded, other, blanks):
    kind, gold = golded
    for prediction in (gold, other[1]):
        padded = verify(f"{blanks[0]}{gold}{blanks[1]}", f"{blanks[2]}{prediction}{blanks[3]}", kind)
        assert padded[0] is verify(gold, prediction, kind)[0]


@settings(max_examples=150, deadline=None)
@given(golded=GOLDED, blank=st.sampled_from(["  ", "\n", "\u00a0", " \t", "\u2009"]))
def test_what_kind_of_blank_it_is_never_changes_a_verdict(golded, blank):
    kind, gold = golded
    assert verify(gold, gold.replace(" ", blank), kind)[0] is Verdict.CORRECT


@settings(max_examples=200, deadline=None)
@given(
    golded=GOLDED,
    prediction=ANY_TEXT,
    gold=ANY_TEXT,
    options=st.sampled_from([(), ("dot", "red"), ("", "A")]),
)
def test_no_verdict_raises(golded, prediction, gold, options):
    kind, readable = golded
    for answer in (gold, readable, prediction):
        verdict, reason = verify(answer, prediction, kind, options)
        assert isinstance(verdict, Verdict)
        assert reason.encode()


@settings(max_examples=150, deadline=None)
@given(golded=GOLDED)
def test_a_gold_answer_has_a_kind_that_finds_it_right(golded):
    kind = infer_kind(golded[1])
    assert kind in ISOLATED or verify(golded[1], golded[1], kind)[0] is Verdict.CORRECT


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.integers(-50, 50), min_size=2, max_size=6), other=st.permutations(range(6)))
def test_order_counts_in_tuples_and_lists_and_not_in_sets(parts, other):
    moved = [parts[index] for index in other if index < len(parts)]
    for kind, brackets in (("tuple", "()"), ("list", "[]"), ("set", "{}")):
        gold, prediction = (f"{brackets[0]}{', '.join(map(str, row))}{brackets[1]}" for row in (parts, moved))
        assert (verify(gold, prediction, kind)[0] is Verdict.CORRECT) is (kind == "set" or moved == parts)


@settings(max_examples=200, deadline=None)
@given(
    terms=st.lists(st.integers(1, 50), min_size=2, max_size=4),
    factor=st.integers(1, 20),
    place=st.integers(0, 3),
)
def test_a_ratio_may_be_scaled_and_nothing_else(terms, factor, place):
    gold = ":".join(map(str, terms))
    assert verify(gold, ":".join(str(term * factor) for term in terms), "ratio")[0] is Verdict.CORRECT
    terms[place % len(terms)] += 1
    assert verify(gold, ":".join(map(str, terms)), "ratio")[0] is Verdict.WRONG


@settings(max_examples=200, deadline=None)
@given(minutes=st.integers(0, 1439), later=st.integers(1, 1439))
def test_a_time_is_its_moment_however_it_is_written(minutes, later):
    hours, rest = divmod(minutes, 60)
    half = f"{(hours - 1) % 12 + 1}:{rest:02} {'pm' if hours >= 12 else 'am'}"
    assert verify(f"{hours}:{rest:02}", half, "time")[0] is Verdict.CORRECT
    other = (minutes + later) % 1440
    assert verify(half, f"{other // 60:02}:{other % 60:02}", "time")[0] is Verdict.WRONG


PAIRS = [
    ("km", "m"),
    ("kg", "g"),
    ("h", "s"),
    ("mi", "ft"),
    ("°C", "°F"),
    ("km/h", "m/s"),
    ("L", "cm^3"),
    ("kWh", "J"),
    ("acre", "m^2"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_units_convert_exactly_both_ways(one, other):
    left, right = read_unit(one), read_unit(other)
    for value in (Fraction(0), Fraction(7), Fraction(-1, 3)):
        assert right.convert(left.convert(value, right), left) == value
    assert read_number(f"7 {one}").unit == left


def test_units_are_worth_what_they_are_worth():
    worth = {
        "km": 1000, "cm²": "1/10000", "in": "0.0254", "kWh": 3_600_000, "km/h": "5/18", "lb": "0.45359237",
        "mL": "0.000001",
        "N": 1, "kg m s^-2": 1, "ms": "0.001", "MW": 1_000_000, "mW": "0.001", "μm": "0.000001",
        "sq ft": "0.09290304", "mg": "0.000001",
    }  # fmt: skip
    for unit, value in worth.items():
        assert read_unit(unit).worth == Fraction(value), unit
    assert read_unit("N") == read_unit("kg m/s^2") == read_unit(r"\text{kg}\cdot\text{m}/\text{s}^2")
    for text in (
        "",
        "apples",
        "m/",
        "m^",
        "m^99",
        "^2",
        "1",
        "M",
        "mw",
        "mm mm mm mm mm",
        "x" * 61,
        "per",
        "square",
        "/",
    ):
        assert read_unit(text) is None or "mm" in text, text


REPEATED = [
    *("1,", "1 ", "(", "{1},", "1:", "A, ", "and ", "∪", "(1,2) U ", "a ", "1/", "e", ".", "\\left", "$"),
    *("10^", "\\frac{1}", "cm "),
]  # fmt: skip
USUAL = {
    "integer": "7", "number": "7 cm", "choice": "A", "multi_select": "A, B", "yes_no": "no", "time": "1:00",
    "ratio": "1:2", "tuple": "(1,2)", "interval": "(1,2]", "set": "{1}", "list": "1, 2", "text": "red",
}  # fmt: skip


def check_repeated(kind, unit, length):
    """Check an answer of that many characters, as the prediction and as the gold answer."""
    text = (unit * length)[:length]
    verify(USUAL[kind], text, kind)
    verify(text, USUAL[kind], kind)


def most_work(kind, unit, length):
    """The most work of answers of about that length: where the last unit is cut decides how one is read."""
    return max(work(partial(check_repeated, kind, unit, length + more)) for more in range(len(unit)))


@pytest.mark.parametrize("kind", GOLDS)
def test_checking_is_linear_in_the_answer(kind, monkeypatch):
    for unit in REPEATED:
        once, twice = (most_work(kind, unit, length) for length in (250, 500))
        assert twice < 2.1 * once, unit  # 4 times for a quadratic checker
    monkeypatch.setattr("observer.verifier.verify.MAX_LENGTH", 20_000)  # so long that a slow pattern hangs
    for unit in REPEATED:
        with no_hang(2.5):  # hundredths of a second
            check_repeated(kind, unit, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOLDS)
def test_checking_the_longest_answers_takes_a_third_of_a_second_at_most(kind):
    slowest = 0.0
    for unit in REPEATED:
        start = time.thread_time()
        check_repeated(kind, unit, MAX_LENGTH)
        slowest = max(slowest, time.thread_time() - start)
    assert slowest < 0.3


def check_ordinary(value):
    verify("7 cm", f"{value} mm", "number")
    verify("(3, 4)", f"({value}, 4)", "tuple")


def test_ordinary_answers_are_checked_with_little_work():
    check_ordinary(0)  # what is kept from the first is no work of the others
    for value in (0, 1, 11, 70, 100, 1999, 10**9):
        assert 100 < work(lambda v=value: check_ordinary(v)) < 5000


@pytest.mark.slow
def test_ordinary_answers_are_checked_in_microseconds():
    start = time.thread_time()
    for value in range(2000):
        check_ordinary(value)
    assert time.thread_time() - start < 2.0
