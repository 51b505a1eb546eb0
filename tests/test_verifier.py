import subprocess
import sys

import pytest

from observer.types import RefusedError, Verdict
from observer.verifier.verify import infer_kind, refuse_unverifiable, verify
from tables import holds_for

SHAPES = ("square", "dot", "circle")


def right(gold, prediction, kind, options=()):
    return verify(gold, prediction, kind, options)[0] is Verdict.CORRECT


def test_rewards_import_neither_torch_nor_transformers_nor_lightning():
    code = (
        "import sys, observer.rewards;"
        "print(sorted({'torch', 'transformers', 'lightning', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@holds_for(
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


@holds_for(
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


@holds_for(
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


@holds_for(
    "prediction",
    [
        "7 apples",
        "7..",
        r"\(7\) \(7\)",
        "x=8",
        "x=7=8",
        "x+y=7",
        "77",
        "-7",
        "7.0001",
        "7%",
        "7, 8",
        "7 7",
        "--7",
        "seven",
        "7²",
        "0x8",
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


@holds_for(
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
