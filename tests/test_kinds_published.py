"""Verdicts on answers as published data sets and models write them, from public reports and of our own."""

import json
from pathlib import Path

import pytest

from observer.types import RefusedError, Verdict
from observer.verifier.kinds import expression
from observer.verifier.verify import infer_kind, verify
from tables import holds_for

CASES = [
    json.loads(line)
    for name in ("verdicts", "forms", "neighbours")
    for line in (Path(__file__).parent / "cases" / f"{name}.jsonl").read_text().splitlines()
]
"""gold, options, right and wrong answers of each; those of ``verdicts`` with the thread or data set."""


@holds_for("case", CASES)
def test_right_answers_are_right_and_wrong_ones_wrong(case):
    gold, options = case["gold"], tuple(case["options"])
    kind = infer_kind(gold, options)
    for wanted, answers in ((Verdict.CORRECT, [gold, *case["right"]]), (Verdict.WRONG, case["wrong"])):
        for answer in answers:
            found, reason = verify(gold, answer, kind, options)
            assert found is wanted, reason


def test_a_gold_that_its_own_rewriting_does_not_equal_is_refused_at_the_door():
    for gold in (r"\frac{1}{0}", r"\infty-\infty", r"0^{-1}+x", r"\ln 0", r"\infty^{\infty}"):
        with pytest.raises(RefusedError, match="drop the row"):
            infer_kind(gold)


def test_a_gold_that_is_prose_about_formulas_is_refused_at_the_door():
    for gold in ("UMVU for $5+2 \\mu$", "concave up on $(0, \\infty)$", r"\text{increasing on }(-\infty,1)"):
        with pytest.raises(RefusedError, match="no rule can check the answer"):
            infer_kind(gold)


def test_a_number_or_several_is_refused_with_both_ways_to_write_it():
    with pytest.raises(RefusedError, match="one number or several; write it without blanks or with commas"):
        infer_kind("12 345")
    assert infer_kind("1228 142.67") == "list"
    assert infer_kind("12, 345") == "list"


def test_verdicts_of_every_kind_read_a_name_before_a_value():
    golds = {"integer": "5", "number": "1/2", "ratio": "3:4", "tuple": "(1, 2)", "list": "1, 2",
             "interval": "[1, 2)", "set": "{1, 2}", "expression": "2x", "choice": "B"}  # fmt: skip
    for kind, gold in golds.items():
        name = "Answer: " if kind == "choice" else "y = "
        assert verify(gold, name + gold, kind)[0] is Verdict.CORRECT
        assert verify(gold, name + gold + " = 77", kind)[0] is Verdict.WRONG


def test_a_prediction_goes_to_the_library_only_for_what_it_alone_reads(monkeypatch):
    asked = []
    monkeypatch.setattr(expression, "same_symbolic", lambda *pair: asked.append(pair) or False)
    for answer in (r"\nonsense{x}", "x^2+", r"\frac{1}", "x @ 2"):
        assert verify("x^2+1", answer, "expression")[0] is Verdict.WRONG
    assert asked == []
    verify("x^2+1", r"\sum_{k=1}^{2} k", "expression")
    assert len(asked) == 1


WORDS = "radius squared,sine of A,cannot be,opposite of,three x,minus,not,xy,sin x,a multiple of b"


@holds_for("words", WORDS.split(","))
def test_words_that_do_more_than_name_a_value_are_not_taken_off(words):
    for sign in ("=", ":"):
        assert verify("9", f"{words} {sign} 9", "integer")[0] is Verdict.WRONG
    assert verify("9", "Area of sector = 9", "integer")[0] is Verdict.CORRECT
