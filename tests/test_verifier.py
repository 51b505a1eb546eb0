import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.types import RefusedError, Verdict
from observer.verifier.verify import ISOLATED, KINDS, MAX_LENGTH, infer_kind, refuse_unverifiable, verify

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


def test_rewards_import_neither_torch_nor_transformers_nor_lightning():
    code = (
        "import sys, observer.rewards;"
        "print(sorted({'torch', 'transformers', 'lightning', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "  ",
        ".",
        "?",
        "the red one, or the blue one if it lies below it, or else none of them at all",
        r"\frac{1}{",
        "7\0",
    ],
)
def test_an_answer_that_no_rule_can_check_has_no_kind(gold):
    with pytest.raises(RefusedError, match="no rule can check"):
        infer_kind(gold)


def test_an_unreadable_gold_answer_is_refused_by_value_and_kind():
    with pytest.raises(RefusedError, match=r"'red'.*kind integer"):
        refuse_unverifiable("red", "integer")
    refuse_unverifiable("7", "integer")


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(RefusedError, match="'colour' does not exist; use one of integer, number, choice"):
        verify("red", "red", "colour")


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("7", "integer"),
        ("$-1,234$", "integer"),
        ("7.0", "number"),
        (r"\frac{1}{4}", "number"),
        ("25%", "number"),
        ("1e5", "number"),
        ("E", "choice"),
        ("(b)", "choice"),
        ("B. circle", "choice"),
    ],
)
def test_the_kind_follows_from_how_the_gold_answer_is_written(gold, kind):
    assert infer_kind(gold) == kind
    assert right(gold, gold, kind)


def test_with_options_an_answer_is_a_choice_or_nothing():
    assert infer_kind("4", ("3", "4")) == "choice"
    assert infer_kind("circle", SHAPES) == "choice"
    for gold in ("7", "D", "B. square", "triangle"):
        with pytest.raises(RefusedError, match="fits none of the options"):
            infer_kind(gold, SHAPES)


@pytest.mark.parametrize(
    "prediction",
    [
        "7",
        " 7\n",
        "+7",
        "07",
        "7.0",
        "7.",
        "$7$",
        r"\(7\)",
        r"\boxed{7}",
        r"$\boxed{\text{7}}$.",
        "14/2",
        "7e0",
    ],
)
def test_an_integer_may_be_dressed_in_any_notation(prediction):
    assert right("7", prediction, "integer")


@pytest.mark.parametrize(
    "prediction",
    [
        "7 apples",
        "7..",
        r"\(7\) \(7\)",
        "x=7",
        "77",
        "-7",
        "7.0001",
        "7%",
        "7, 8",
        "7 7",
        "--7",
        "seven",
        "７",
        "٧",
        "7²",
        "0x7",
        "7_0",
    ],
)
def test_an_integer_is_nothing_but_that_integer(prediction):
    assert not right("7", prediction, "integer")


def test_thousands_separators_count_only_where_they_belong():
    for prediction in ("1,234,567", "1234567", r"1{,}234{,}567"):
        assert right("1234567", prediction, "integer")
    for prediction in ("12,34,567", "1,234567", "1234,567", "1,234,56", ",1234567", "1,,234,567"):
        assert not right("1234567", prediction, "integer")
    assert not right("123", "0,123", "integer")


def test_the_unicode_minus_is_a_minus():
    assert right("-7", "\u22127", "integer")
    assert right("\u22127", "-7", "integer")


@pytest.mark.parametrize(
    "prediction",
    ["1/4", " 1 / 4 ", r"\frac{1}{4}", r"\dfrac{1}{4}", r"\frac{-1}{-4}", "2/8", "0.25", ".25", "2.5e-1"],
)
def test_a_gold_fraction_is_that_value_in_any_notation(prediction):
    assert right("1/4", prediction, "number")
    assert right(r"$\frac{1}{4}$", prediction, "number")


def test_a_gold_fraction_is_exact_but_for_the_stated_tolerance_of_decimals():
    assert right("1/3", "0.3333333", "number")
    assert not right("1/3", "0.33", "number")
    assert not right("1/3", "333333333/1000000000", "number")


def test_a_gold_decimal_accepts_what_rounds_to_it():
    for prediction in ("3.14", "3.1416", "22/7", "3.135", "3.145", "314e-2"):
        assert right("3.14", prediction, "number"), prediction
    for prediction in ("3.1", "3", "3.1349", "3.1451", "-3.14", "3.14 apples"):
        assert not right("3.14", prediction, "number"), prediction


def test_scientific_notation_is_read_and_its_exponent_is_bounded():
    for prediction in ("120000", "1.2E5", r"1.2 \times 10^{5}", "1.2×10^5", "123456"):
        assert right("1.2e5", prediction, "number"), prediction
    assert not right("1.2e5", "130000", "number")
    for prediction in ("1e999999999", "1e-999999999", "1e", "e5", "1e1.5"):
        assert not right("1.2e5", prediction, "number"), prediction


def test_a_percent_sign_stands_on_both_or_on_neither():
    assert right("25%", r"25\%", "number")
    assert right("25%", "$25$%", "number")
    assert not right("25%", "25", "number")
    assert not right("25%", "0.25", "number")
    assert not right("25", "25%", "number")


def test_division_by_zero_is_no_number():
    assert not right("0", "0/0", "number")
    assert not right("0", "1/0", "number")


@pytest.mark.parametrize("gold", ["B", "(B)", "B.", "B. dot", "(b)", "dot", "$B$", r"\text{B}"])
@pytest.mark.parametrize(
    "prediction",
    ["B", "b", "(B)", "B.", "B)", "B:", "b. dot", "(B) Dot", "B)  DOT.", "dot", r"\boxed{B}", r"\text{dot}"],
)
def test_a_choice_is_made_by_letter_or_text_or_both(gold, prediction):
    assert right(gold, prediction, "choice", SHAPES)


@pytest.mark.parametrize(
    "prediction", ["A", "B. circle", "C. dot", "D", "the dot", "dots", "B or C", "BB", "a dot", ""]
)
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


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("size", [MAX_LENGTH, None])
def test_hostile_predictions_are_wrong_at_once(kind, size):
    start = time.process_time()
    for prediction in HOSTILE:
        verdict, reason = verify(GOLDS[kind], prediction[:size], kind)
        assert verdict is Verdict.WRONG
        assert reason
        assert len(reason) < 500
        assert reason.isascii() or reason.isprintable()
    assert time.process_time() - start < 2.0


def test_a_prediction_over_the_limit_is_wrong_and_says_so():
    padded = "0" * MAX_LENGTH + "7"
    assert verify("7", padded, "integer") == (
        Verdict.WRONG,
        f"the answer is over 1000 characters long: {'0' * 60!r} .. (1001 characters)",
    )
    assert right("7", padded[1:], "integer")
    assert right("7", " " * MAX_LENGTH + "7", "integer")


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("mark", ["\0", "\x1b", "\x7f", "\x85\x80", "\ud800"])
def test_control_characters_are_wrong_wherever_they_stand(kind, mark):
    for prediction in (mark, GOLDS[kind] + mark, mark + GOLDS[kind], f"{GOLDS[kind]}{mark} "):
        verdict, reason = verify(GOLDS[kind], prediction, kind)
        assert verdict is Verdict.WRONG
        assert "control characters" in reason
