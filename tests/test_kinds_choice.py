import pytest

from observer.types import RefusedError, Verdict
from observer.verifier.kinds.number import read_number
from observer.verifier.verify import infer_kind, verify
from tables import holds_for

SHAPES = ("square", "dot", "circle")


def right(gold, prediction, kind, options=()):
    return verify(gold, prediction, kind, options)[0] is Verdict.CORRECT


@holds_for("gold", ["B", "(B)", "B.", "B. dot", "(b)", "dot", "$B$", r"\text{B}"])
@holds_for(
    "prediction",
    ["B", "b", "(B)", "B.", "B)", "B:", "b. dot", "(B) Dot", "B)  DOT.", "dot", r"\boxed{B}", r"\text{dot}"],
)
def test_a_choice_is_made_by_letter_or_text_or_both(gold, prediction):
    assert right(gold, prediction, "choice", SHAPES)


@holds_for("prediction", ["A", "B. circle", "C. dot", "D", "the dot", "dots", "B or C", "BB", "a dot", ""])
def test_a_choice_of_another_option_or_of_two_is_wrong(prediction):
    assert not right("B", prediction, "choice", SHAPES)


def test_a_substring_never_decides():
    assert not right("A", "small", "choice")
    assert not right("A", "A small one", "choice")
    assert not right("A", "a.m.", "choice")
    assert right("C", "C. circle", "choice")
    assert right("C", "C. circle", "choice", SHAPES)
    assert not right("C", "B. circle", "choice", SHAPES)
    assert not right("C", "B. circle", "choice")


def test_a_gold_letter_with_its_text_makes_that_text_known():
    assert right("B. circle", "circle", "choice")
    assert right("B. circle", "B", "choice")
    assert not right("B. circle", "B. square", "choice")


def test_a_label_goes_before_an_option_whose_text_is_a_letter():
    assert right("A", "A", "choice", ("B", "A"))
    assert not right("B", "A", "choice", ("B", "A"))
    assert right("A", "x", "choice", ("x", "y"))  # there is no option X


def test_options_that_are_pictures_are_chosen_by_letter():
    assert right("B", "B. the red one", "choice", ("", "", ""))
    for blank in ("", "$ $", "."):
        assert not right("B", blank, "choice", ("dot", ""))
        with pytest.raises(RefusedError, match="fits none of the options"):
            infer_kind(blank, ("dot", ""))


def test_a_text_that_two_options_share_chooses_neither():
    assert not right("A", "dot", "choice", ("dot", "Dot"))
    assert right("A", "A. dot", "choice", ("dot", "Dot"))


LONG = ["0." + "3" * 200_000, "9" * 5_000, "1" + " 000" * 2_000, "x+" * 50_000 + "y"]


@pytest.mark.parametrize("long", LONG, ids=["decimal", "digits", "thousands", "formula"])
def test_an_option_of_any_length_is_chosen_by_its_letter(long):
    options = ("7", long, "0.3333")
    assert right("B", "B", "choice", options)
    assert not right("B", "0.3333", "choice", options)
    assert right("A, C", "7 and 0.3333", "multi_select", options)
    assert read_number(long) is None
