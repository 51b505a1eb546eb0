"""Formulas are read and compared rightly and in bounded time, whatever they hold."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import no_hang, work
from observer.types import Verdict
from observer.verifier.maths.parse import parse
from observer.verifier.maths.same import same, same_value
from observer.verifier.maths.tree import UndefinedError, UnreadableError
from observer.verifier.maths.values import MAX_FACTORIAL, ROUGH, evaluate
from observer.verifier.verify import verify
from tables import holds_for

NUMBERS = st.integers(-20, 20).map(lambda value: f"({value})" if value < 0 else str(value))


def polynomial(text):
    """Work a formula of +, - and * out in exact arithmetic of our own: monomial -> coefficient."""

    class Sum(dict):
        def __add__(self, other):
            return Sum({key: self.get(key, 0) + other.get(key, 0) for key in self.keys() | other.keys()})

        def __sub__(self, other):
            return self + other * Sum({(0, 0, 0): -1})

        def __mul__(self, other):
            found = Sum()
            for a, one in self.items():
                for b, two in other.items():
                    found += Sum({tuple(map(sum, zip(a, b, strict=True))): one * two})
            return found

        def __neg__(self):
            return Sum({(0, 0, 0): -1}) * self

    def read(part):
        if isinstance(part, tuple):
            left, sign, right = part
            return {"+": Sum.__add__, "-": Sum.__sub__, "*": Sum.__mul__}[sign](read(left), read(right))
        if part in "xyz":
            return Sum({tuple(int(part == name) for name in "xyz"): 1})
        return Sum({(0, 0, 0): int(part.strip("()"))})

    return {key: value for key, value in read(text).items() if value}


def written(tree):
    return tree if isinstance(tree, str) else f"({written(tree[0])}{tree[1]}{written(tree[2])})"


TREES = st.recursive(
    NUMBERS | st.sampled_from("xyz"),
    lambda below: st.tuples(below, st.sampled_from("+-*"), below),
    max_leaves=8,
)


@given(TREES, TREES)
@settings(max_examples=150, deadline=None)
def test_polynomials_are_equal_exactly_when_their_coefficients_are(one, other):
    assert same_value(parse(written(one)), parse(written(other))) == (polynomial(one) == polynomial(other))


@given(TREES)
@settings(max_examples=80, deadline=None)
def test_a_formula_equals_itself_and_not_itself_and_one(tree):
    text = written(tree)
    assert same(parse(text), parse(f"{text}+0"))
    assert not same(parse(text), parse(f"{text}+1"))


def test_what_is_tiny_is_told_from_zero_and_from_its_multiples():
    for gold, wrong in [
        (r"2^{-2000}\sqrt{2}", "0"),
        (r"2^{-2000}\sqrt{2}", r"2^{-2001}\sqrt{2}"),
        (r"\sqrt{2}+10^{-25}", r"\sqrt{2}"),
        ("0", r"10^{-40}\pi"),
    ]:
        assert not same(parse(gold), parse(wrong))
    assert same(parse("0"), parse(r"\sin \pi"))
    assert same(parse(r"\sqrt{2}\sqrt{3}-\sqrt{6}"), parse("0"))


def test_names_of_either_sign_are_tried():
    assert not same(parse(r"\sqrt{x^2}"), parse("x"))
    assert same(parse(r"\sqrt{x^2}"), parse("|x|"))
    assert same(parse(r"\sqrt[3]{x^3}"), parse("x"))
    assert not same(parse(r"\ln|x|"), parse(r"\ln x"))
    assert same(parse(r"x^{2/3}"), parse(r"\sqrt[3]{x^2}"))


def test_what_is_not_finite_equals_nothing():
    for gold in (r"2\sqrt3", "x^2+1", "y=2x+1", r"\frac{\pi}{4}", "x>3", r"(\sqrt2,1)", r"-\tau\ln\Delta"):
        for text in (
            r"\ln 0",
            r"-\ln 0",
            r"\log_2 0",
            r"y=\ln 0",
            r"x>\ln 0",
            r"(\ln 0,\ln 0)",
            r"\tau\ln(0\Delta)",
        ):
            try:
                verdict = same(parse(gold), parse(text))
            except UnreadableError:
                verdict = False
            assert not verdict, (gold, text)


@holds_for("name", "abcdkmnpqrstuvwxyz")
def test_every_name_is_tried_on_both_sides_of_zero_and_far_from_it(name):
    for shift in (3, 20, 100, 1000):
        assert not same(parse(f"{name}+{shift}"), parse(f"|{name}+{shift}|"))
        assert not same(parse(f"{shift}-{name}"), parse(f"|{name}-{shift}|"))
    assert not same(parse(rf"\lfloor {name} \rfloor"), parse(rf"\lceil {name} \rceil-1"))


def test_angles_with_a_degree_sign_are_in_degrees_inside_functions():
    assert evaluate(parse("45^\\circ"), {}) == Fraction(45)
    assert same(parse(r"\sin 30^\circ"), parse(r"\frac12"))
    assert same(parse(r"\cos(90^\circ-30^\circ)"), parse(r"\frac12"))
    assert not same(parse(r"\sin 30"), parse(r"\frac12"))


def test_equations_are_equal_when_one_is_a_multiple_of_the_other():
    line = parse("2x+6y-5=0")
    for text in ("6y=5-2x", "y=-x/3+5/6", "-4x-12y+10=0"):
        assert same(line, parse(text))
    for text in ("2x+6y+5=0", "2x+6y-5", "(2x+6y-5)^2=0", "x=3"):
        assert not same(line, parse(text))


def test_inequalities_are_the_intervals_that_they_describe():
    for text in ("5>x>-2", "(-2,5)", r"x\in(-2,5)", "-2<x<5"):
        assert same(parse("-2<x<5"), parse(text))
    for text in ("[-2,5)", r"-2\le x<5", "x<5", "5<x<-2"):
        assert not same(parse("-2<x<5"), parse(text))
    assert same(parse("2x>6"), parse("3<x"))
    assert not same(parse("2x>6"), parse("x<3"))


HOSTILE = [
    "√" * 400, "x!" * 300, "1/" * 400 + "1", r"\frac" * 300, "-" * 500 + "1",
    "((" * 200 + "1" + "))" * 200,     r"\sin" * 300 + "x", "x^" * 300 + "2", "|" * 301, r"\sqrt[" * 200,
    "{" * 500, r"\vec" * 300 + "x",     "2^{3^{4^{5^{6}}}}", "e^{e^{e^{e^{9}}}}",
    r"\exp(\exp(\exp(\exp 9)))", f"{MAX_FACTORIAL + 1}!",
    "((9!)!)!",     "1" * 900 + "^{" + "9" * 90 + "}", r"\sin(10^{99999})", r"\binom{99999}{5000}",
    "x^{99999999}", "(1/3)^{999999}",     r"\sqrt[99999999]{2}", r"\log_{1}5", "0^0", "0^{-1}", "1/(x-x)",
    r"\ln(0)", r"\tan(\pi/2)", "1," * 400 + "1",     r"\begin{matrix}" + "1&" * 200 + r"1\end{matrix}",
    "_" * 300, "x_{" * 200, "'" * 400, "1.2.3", "i^i", "f(", "f(f(x)",
]  # fmt: skip


@holds_for("text", HOSTILE)
def test_hostile_formulas_are_equal_to_themselves_or_refused_in_bounded_time(text):
    with no_hang():
        try:
            verdict = same(parse(text), parse(text))
        except (UnreadableError, UndefinedError):
            verdict = False
    assert isinstance(verdict, bool)


@holds_for("unit", ["x+", "2x", "(x)", "√2 ", "x,", r"\frac12", "x=", "1/", r"\text{a}", "ab and "])
def test_reading_is_linear(unit):
    def read(text):
        with suppress(UnreadableError):
            parse.__wrapped__(text)

    once, twice = (work(lambda n=n: read(unit * n)) for n in (400, 800))
    assert twice < 2.2 * once


@pytest.mark.whole
def test_a_formula_that_is_undefined_everywhere_costs_no_more_than_it_is_long():
    options = tuple(f"x^{place}" for place in range(2, 10))

    def check(count):
        power = "".join(f"(x+{place})^{{9999}}" for place in range(1, count + 1))
        assert verify("A", f"({power})/(x-x)", "choice", options)[0] is Verdict.WRONG

    with no_hang():
        check(40)
    once, twice = (work(lambda n=n: check(n)) for n in (19, 38))
    assert twice < 2.2 * once


def test_threads_leave_the_precision_as_it_is():
    before = ROUGH.prec
    for name in ("cot", "sec", "csc", "arccot"):
        assert not isinstance(evaluate(parse(rf"\{name} 2"), {}, ROUGH), Fraction)
        assert ROUGH.prec == before
    assert same(parse(r"\cot 1"), parse(r"\frac{1}{\tan 1}"))


def test_common_divisors_are_of_whole_numbers():
    assert same(parse(r"\gcd(12,18)"), parse("6"))
    with pytest.raises(UnreadableError, match="no whole numbers"):
        evaluate(parse(r"\gcd(1.5,3)"), {})
