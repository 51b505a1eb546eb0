import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.rewards import Free, Observe, Think
from observer.rewards.response_format import last_boxed

GOOD = "<observe>a dial</observe>\n<think>it shows 3</think>\n<answer>3</answer>"
FORMATS = [Observe(), Think(), Free()]


def test_the_three_blocks_are_read():
    reading = Observe().read(GOOD)
    assert reading.formatted
    assert reading.answer == "3"
    assert reading.blocks == {"observe": "a dial", "think": "it shows 3", "answer": "3"}
    assert reading.fault == ""


@given(blanks=st.lists(st.text(" \n\t\r", max_size=3), min_size=13, max_size=13))
@settings(max_examples=50, deadline=None)
def test_blanks_between_and_inside_the_tags_change_nothing(blanks):
    tokens = GOOD.replace("\n", "").replace(">", ">\0").replace("</", "\0</").split("\0")
    text = "".join(blank + token for blank, token in zip(blanks, tokens + [""] * 13, strict=False))
    assert Observe().read(text) == Observe().read(GOOD)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("3", "<observe> is missing"),  # V6
        ("", "<observe> is missing"),
        ("so " + GOOD, "text before <observe>"),  # V9 from here on
        (GOOD + " so", "text after </answer>"),
        (GOOD.replace("\n", "x"), "text before <think>"),
        (GOOD + "<answer>3</answer>", "found <answer> after </answer>"),
        (GOOD + "</answer>", "found </answer> after </answer>"),
        (GOOD + GOOD, "found <observe> after </answer>"),
        (GOOD.replace("a dial", "  \n"), "nothing before </observe>"),
        (GOOD.replace("it shows 3", ""), "nothing before </think>"),
        (GOOD.replace(">3<", "> <"), "nothing before </answer>"),
        (GOOD.replace("a dial", "<think>a</think>"), "expected </observe> and found <think>"),
        (GOOD.replace("it shows 3", "use <think> here"), "expected </think> and found <think>"),
        (GOOD.replace("it shows 3", "the <answer>4</answer>"), "expected </think> and found <answer>"),
        (GOOD.replace("</answer>", ""), "</answer> is missing"),
        ("\n".join(reversed(GOOD.split("\n"))), "expected <observe> and found <answer>"),
        (GOOD.partition("\n")[2], "expected <observe> and found <think>"),
        (GOOD.replace("<observe>", "<Observe>"), "expected <observe> and found </observe>"),
    ],
)
def test_a_response_that_breaks_the_format_has_no_answer_and_a_reason(text, fault):
    reading = Observe().read(text)
    assert not reading.formatted
    assert reading.answer is None
    assert reading.blocks == {}
    assert reading.fault == fault


def test_a_format_cares_only_for_its_own_tags():
    assert Think().read("<think>the <observe> tag, <b>1 < 2</b></think><answer>3</answer>").answer == "3"
    assert Think().read(GOOD).fault == "text before <think>"


@pytest.mark.parametrize("text", ["3", "<answer>3", "<think>a<answer>3</answer></think>"])
def test_think_is_as_strict_as_observe(text):
    assert not Think().read(text).formatted
    assert Think().read(text).answer is None


def test_free_takes_the_last_closed_box_or_else_the_whole_text():
    assert Free().read(" 7 ").answer == "7"
    assert Free().read(r"\boxed{1}, no, \boxed{ 2 }!").answer == "2"
    assert Free().read(r"\boxed{\frac{1}{4}} and \boxed{cut").answer == r"\frac{1}{4}"
    assert Free().read(r"\boxed{\{1\}}").answer == r"\{1\}"
    assert Free().read(r"} \boxed{3} {").answer == "3"
    assert Free().read(r"\boxed{cut").answer == r"\boxed{cut"


def test_free_accepts_anything_but_a_blank():
    assert Free().read("x").formatted
    assert not Free().read(" \n").formatted
    assert Free().read(r"so \boxed{ }").answer is None


@pytest.mark.parametrize("strategy", [Observe, Think, Free])
def test_the_system_prompt_is_the_users_or_the_default_or_none(strategy):
    assert strategy(system_prompt="Be brief.").prompt == "Be brief."
    assert strategy(system_prompt="").prompt == ""
    assert strategy().prompt == strategy().default_prompt() != ""


@pytest.mark.parametrize(
    ("strategy", "names"), [(Observe, ["observe", "think", "answer"]), (Think, ["think", "answer"])]
)
def test_the_default_prompt_shows_each_block_on_a_line_and_keeps_its_own_format(strategy, names):
    lines = [line for line in strategy().prompt.splitlines() if line.startswith("<")]
    assert list(strategy().read("\n".join(lines)).blocks) == names


@pytest.mark.parametrize("strategy", FORMATS)
@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "<", "</", "<observe>", "x<think", "\\boxed{", "{", "}", " ", "\\"]
)
def test_a_megabyte_of_tags_is_read_at_once(strategy, unit):  # V10: 8 kB took the released regex 105 s
    text = unit * (1_000_000 // len(unit))
    start = time.perf_counter()
    reading = strategy.read(text)
    assert time.perf_counter() - start < 2.0  # tens of milliseconds; generous, so that a busy machine passes
    assert reading.formatted is (isinstance(strategy, Free) and unit != " ")


def test_the_first_fault_is_the_one_that_is_named():
    text = "<think>" * 3 + "x" * 10**6
    assert Think().read(text).fault == "expected </think> and found <think>"


@settings(max_examples=100, deadline=None)
@given(
    text=st.text()
    | st.lists(
        st.sampled_from([*"<>/{}\\ x", "<think>", "</think>", "<answer>", "</answer>", "\\boxed{"])
    ).map("".join)
)
def test_a_format_never_raises_and_names_each_fault(text):
    for strategy in FORMATS:
        reading = strategy.read(text)
        assert reading.formatted or (reading.answer is None and reading.fault)
        assert reading.answer is None or reading.answer == reading.answer.strip() != ""


def test_the_last_box_is_the_one_that_opens_last():
    assert last_boxed(r"\boxed{a \boxed{b} c}") == "b"
    assert last_boxed("none") is None
