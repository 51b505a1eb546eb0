"""Expressions: equal forms are accepted, near misses are not, and nothing that is written hangs or leaks."""

import subprocess
import sys
import time

import pytest

from growth import no_hang, work
from observer.types import RefusedError, Verdict
from observer.verifier.kinds import expression
from observer.verifier.kinds.expression import expression_fault
from observer.verifier.verify import MAX_LENGTH, infer_kind, refuse_unverifiable, verify
from tables import holds_for

TABLE = [
    ("x^2+2x+1", ["(x+1)^2", "x**2 + 2*x + 1", "1+2x+x^2", "$x^{2}+2x+1$", "y = (x+1)^2", "x² + 2x + 1"],
     ["(x-1)^2", "x^2+2x", "x^2+2x+1=0", "y^2+2y+1", "x^2+2x+1, 5", "$x$ or $x^2+2x+1$"]),
    (r"\sqrt{2}", [r"2^{1/2}", "sqrt(2)", "√2", "1.414214", "1.4142135623730951", r"\frac{2}{\sqrt{2}}",
     r"\boxed{\sqrt{2}}",
     r"\sqrt2"],
     ["1.41", "2", r"\sqrt{3}", r"-\sqrt{2}", r"\pm\sqrt{2}"]),
    (r"\frac{\pi}{2}", ["pi/2", "π/2", r"0.5\pi", r"\frac12\pi", r"\pi \cdot \frac{1}{2}"], [r"\pi", "2/pi",
     "90", "3.14/2"]),
    ("2x+1", ["1+2x", "x+x+1", "y=2x+1", "f(x) = 2x + 1", "2*x+1"], ["2x-1", "2x", "x+1", "3=2x+1",
     "a=b=2x+1", ""]),
    ("x=5", ["5", "x = 5", "x=10/2", "5.0"], ["y=5", "x=6", "x>5", "x"]),
    ("y=2x+1", ["2x+1", "y = 1 + 2x", "y-2x=1"], ["y=2x-1", "x=2y+1", "2x"]),
    ("x>3", ["3<x", "x > 3"], ["x>=3", "x<3", "x=3", "3"]),
    ("sin(x)+cos(x)", [r"\cos x+\sin x", r"\sin(x)+\cos(x)"], [r"\sin x-\cos x", r"\sin(x)\cos(x)",
     r"\sin x"]),
    (r"2\pi\text{ cm}", [r"2\pi", r"2\pi \text{ cm}", "2π cm", r"20\pi\text{ mm}"], [r"2\pi\text{ m}",
     r"2\pi\text{ cm}^2", r"\pi\text{ cm}"]),
    (r"\pi(R^2-r^2)", [r"\pi R^2 - \pi r^2", r"(R-r)(R+r)\pi"], ["0", r"\pi(r^2-R^2)", r"\pi R^2",
     r"\pi (q^2 - r^2)"]),
    (r"[0, \pi)", [r"[0,\pi)", "[0, pi)"], [r"(0,\pi)", r"[0,\pi]", r"[0, 2\pi)"]),
    ("3m", ["3 m", "m*3", "3m"], ["3", "3n", "m"]),
    ("x+t", ["t+x"], ["x", "t"]),
    (r"\log_2 8", ["3", r"\log_{2}(8)"], ["2", r"\log_8 2"]),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", [r"\begin{bmatrix}1 \\ 2\end{bmatrix}"],
     [r"\begin{pmatrix}2\\1\end{pmatrix}", "12"]),
    ("1/2", ["0.5", r"\frac{1}{2}", r"\sqrt{1/4}"], ["0.6", "50%", "2", r"the answer: \frac{1}{2} x"]),
    ("9%", ["9%", r"9\%"], ["9", "0.09"]),
    ("4√3", [r"4\sqrt{3}", "4*sqrt(3)", r"\sqrt{48}"], ["4*3", r"\sqrt{12}", "√43"]),
    (r"\{1, \sqrt2\}", [r"\{\sqrt{2}, 1\}"], [r"\{1, 2\}", "1"]),
    ("a/b", [r"\frac{a}{b}", r"a \div b"], ["b/a", "ab"]),
    (r"1000\sqrt{2}", ["1414.2136"], ["1414.2", "1414"]),
    (r"10^{-8}\sqrt{2}", [r"\sqrt{2} \cdot 10^{-8}"], ["0.0", "0"]),
    ("e^{x^2}", [r"e^{x\cdot x}", r"\exp(x^2)"], ["e^{2x}", "e^x"]),
]  # fmt: skip

CASES = [
    (gold, prediction, verdict)
    for gold, right, wrong in TABLE
    for verdict, predictions in ((Verdict.CORRECT, [gold, *right]), (Verdict.WRONG, wrong))
    for prediction in predictions
]


@holds_for(("gold", "prediction", "verdict"), CASES)
def test_expressions_are_compared_by_what_they_are_equal_to(gold, prediction, verdict):
    found, reason = verify(gold, f"  {prediction} \n", "expression")
    assert found is verdict, reason


@holds_for("gold", ["", " ", r"\frac{1}{", "}{", "9^{9^9}", "99999!", "x^{123456}", "\0",
    "x\0", "$a$ or $b$ maybe", r"\frac{1}{0}",
                                  "colour of the sky", "(" * 50 + "x" + ")" * 50,
                                  "x" * (MAX_LENGTH + 1)])  # fmt: skip
def test_a_gold_that_cannot_be_compared_is_refused_without_asking_the_library(gold, monkeypatch):
    def asked(*_):
        raise AssertionError

    monkeypatch.setattr(expression, "same_symbolic", asked)
    with pytest.raises(RefusedError, match="kind expression"):
        refuse_unverifiable(gold, "expression")
    assert verify(gold, gold, "expression")[0] is Verdict.UNVERIFIABLE
    refuse_unverifiable("x^2", "expression")
    assert infer_kind("x^2") == "expression"


def test_a_gold_that_looks_like_an_expression_may_be_unreadable():
    for gold in (r"\frac{1}", "x^"):
        for prediction in (gold, "1", "", None):
            verdict, reason = verify(gold, prediction, "expression")
            assert verdict is Verdict.UNVERIFIABLE
            assert "cannot be read" in reason


def test_a_gold_without_a_value_raises_nothing():
    for gold in (r"\sum_{n=1}^{\infty} n", "3+4i"):
        assert verify(gold, gold, "expression")[0] is Verdict.CORRECT
        assert verify(gold, "1.5", "expression")[0] is Verdict.WRONG


NASTY = [
    *("\0", "\ud800", "\u202e", "$", "$$", "\\", "{}", "()", "\\(", "\\boxed{", "\\frac", "\\sqrt{", "^",
    "_", "x^", "=", "==", "x="),
    *("9^{9^{9}}", "2^{2^{2^{2}}}", "10^{100000000}", "9999999!", "(9!)!", "9!!", "x^{y^{z^{w}}}",
    "2**9**9**9", "%", "&", "#", "~"),
    *("__import__('os').system('true')", "exit()", "lambda: 0", "().__class__", "x" * 900, "(" * 900,
    "{" * 400 + "}" * 400),
    *("1," * 300, "\\frac{" * 100, "^{" * 200, "𝒙+𝟙", "七", "x+\u200b1", "\\begin{matrix}", "\\text{",
    "\\text{a}" * 100, "🙂"),
]  # fmt: skip


def test_nasty_predictions_are_wrong_and_hang_nothing(capfd, caplog):
    for prediction in NASTY:
        with no_hang():  # milliseconds
            verdict, reason = verify("x+2", prediction, "expression")
        assert verdict is Verdict.WRONG, prediction
        assert len(reason) < 500
        assert reason.encode()
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


@pytest.mark.slow
def test_nasty_predictions_take_five_seconds_at_most():
    verify("x+1", "x", "expression")  # the import is not theirs
    start = time.thread_time()
    for prediction in NASTY:
        verify("x+2", prediction, "expression")
    assert time.thread_time() - start < 5.0


def test_what_is_hopeless_is_seen_by_a_look():
    for text, fault in [
        ("9^{9^9}", "tower"),
        ("2^(3^4)", "tower"),
        ("x^{y^{z^w}}", "tower"),
        ("10^{99999}", "tower"),
        ("12345!", "factorial"),
        ("(9!)!", "factorial"),
        ("x or maybe", "words"),
        ("(" * 13 + ")" * 13, "deep"),
        ("{x", "brackets"),
    ]:
        assert fault in expression_fault(text), text
    for text in (
        "e^{x^2}",
        "x^2+y^2",
        "2^{10}",
        "10!",
        "x^{-1}",
        r"2^{2^n}",
        "arcsin(x)",
        r"\text{some words} x",
    ):
        assert expression_fault(text) == "", text


LOOKED_AT = holds_for(
    "unit", ["^{", "9^", "(", "{", "!", r"\frac{", r"\sqrt(", "x=", "a ", r"\text{", "1.", "√("]
)


@LOOKED_AT
def test_the_look_is_linear(unit):
    once, twice = (work(lambda n=n: expression_fault(unit * n)) for n in (1000, 2000))
    assert once > 1000
    assert twice < 2.1 * once
    with no_hang():
        expression_fault(unit * 100_000)


@pytest.mark.slow
@LOOKED_AT
def test_the_look_takes_a_second_at_most(unit):
    start = time.thread_time()
    expression_fault(unit * 20_000)
    assert time.thread_time() - start < 1.0


def test_importing_the_rewards_does_not_import_the_library():
    code = "import sys, observer.rewards; print('sympy' in sys.modules, 'math_verify' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
