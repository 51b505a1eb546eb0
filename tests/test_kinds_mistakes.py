"""Mistakes of other verifiers that one of typed answers must not make."""

import pytest

from observer.types import RefusedError, Verdict
from observer.verifier.verify import KINDS, MAX_LENGTH, infer_kind, refuse_unverifiable, verify
from tables import holds_for


def right(gold, prediction, kind, options=()):
    return verify(gold, prediction, kind, options)[0] is Verdict.CORRECT


UNREADABLE = {kind: ["", " ", ".", "9" * (MAX_LENGTH + 1), "7\0", "\ud800"] for kind in KINDS}
UNREADABLE["integer"] += ["red", "yes", "(3,4)", "1228 142.67", "3:4", "7.5", "7 cm"]
UNREADABLE["number"] += ["red", "yes", "(3,4)", "1228 142.67", "3:4", "7 or so"]
UNREADABLE["choice"] += ["red", "yes", "(3,4)", "1228 142.67", "3:4"]
UNREADABLE["multi_select"] += ["red", "(3,4)", "A, 7"]
UNREADABLE["yes_no"] += ["red", "7", "maybe", "yes no"]
UNREADABLE["time"] += ["red", "25:00", "7", "10:61"]
UNREADABLE["ratio"] += ["red", "3", "3:", "3:red", "0:0"]
UNREADABLE["tuple"] += ["red", "[3,4]", "(3)", "(3,)"]
UNREADABLE["interval"] += ["red", "3,4", "(3)", "[3,4}", "(1,2,3)"]
UNREADABLE["set"] += ["(3,4)", "[3]", "{3,}"]
UNREADABLE["list"] += ["(3,4)", "{3}", "3,,4"]
UNREADABLE["expression"] += ["}", "x or maybe", "9^{9^9}"]


@holds_for(("kind", "gold"), [(kind, gold) for kind, golds in UNREADABLE.items() for gold in golds])
def test_an_unreadable_gold_answer_scores_nobody(gold, kind):
    for prediction in ("red", "142.67", "3", "anything", "", None, gold):
        verdict, reason = verify(gold, prediction, kind)
        assert verdict is Verdict.UNVERIFIABLE
        assert reason
    with pytest.raises(RefusedError, match=f"kind {kind}"):
        refuse_unverifiable(gold, kind)


@holds_for("gold", ["red", "yes", "E", "(3,4)"])
def test_a_gold_answer_that_is_no_number_is_right_for_itself_only(gold):
    kind = infer_kind(gold)
    assert right(gold, gold, kind)
    for prediction in ("blue", "no", "A", "(4,3)", "3", "1.0", "", None):
        assert verify(gold, prediction, kind)[0] is Verdict.WRONG


def test_a_blank_never_decides():
    for gold in ("1/4", " 1/4", "1 / 4", "\u20031/4\n"):
        for prediction in ("1/4", " 1/4 ", "\n1/4\n", "1 /4", "\u00a01/4\t"):
            assert right(gold, prediction, "number")


def test_the_gold_answer_comes_first():
    assert right("3.1", "3.14", "number")
    assert not right("3.14", "3.1", "number")
    assert verify("red", "7", "integer")[0] is Verdict.UNVERIFIABLE
    assert verify("7", "red", "integer")[0] is Verdict.WRONG
    assert right("B. circle", "circle", "choice")
    assert verify("circle", "B. circle", "choice")[0] is Verdict.UNVERIFIABLE


def test_all_of_several_values_are_required():
    gold = "1228 142.67"
    assert infer_kind(gold) == "list"
    assert right(gold, "1228 and 142.67", "list")
    for prediction in ("142.67", "1228", "142.67 1228", "1228 142.67 1"):
        assert not right(gold, prediction, "list")
    assert infer_kind("3:4") == "ratio"
    assert right("3:4", "6:8", "ratio")
    for prediction in ("3", "4", "4:3"):
        assert not right("3:4", prediction, "ratio")


def test_tolerances_are_stated_and_units_compared():
    assert right("0.5", "0.54", "number")  # rounds to it
    assert not right("0.5", "0.56", "number")
    assert not right("2", "2.0000001", "number")
    for prediction in ("5 km", "5000 m", "5"):
        assert right("5 km", prediction, "number")
    for prediction in ("5 m", "5 kg", "5 km/h", "5000"):
        assert not right("5 km", prediction, "number")
    assert right("5", "5 km", "number")


def test_a_letter_is_not_found_in_a_word():
    for prediction in ("small", "A small one", "BA", "about A"):
        assert not right("A", prediction, "choice")
        assert not right("A", prediction, "multi_select")
    assert right("C", "C. circle", "choice")
    assert not right("red", "bored", "text")
    assert not right("yes", "yesterday", "yes_no")
