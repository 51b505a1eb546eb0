import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import no_hang, work
from observer.rewards import Free, Observe, Think
from observer.rewards.extraction import EXTRACTIONS, find_answer, last_boxed
from observer.types import RefusedError
from tables import holds_for

GOOD = "<observe>a dial</observe>\n<think>it shows 3</think>\n<answer>3</answer>"
FORMATS = [Observe(), Think(), Free()]
LENIENT = Observe(lenient=tuple(EXTRACTIONS))


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


@holds_for(
    ("text", "fault"),
    [
        ("3", "<observe> is missing"),
        ("", "<observe> is missing"),
        ("so " + GOOD, "text before <observe>"),
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


@holds_for("text", ["3", "<answer>3", "<think>a<answer>3</answer></think>"])
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


@holds_for("strategy", [Observe, Think, Free])
def test_the_system_prompt_is_the_users_or_the_default_or_none(strategy):
    assert strategy(system_prompt="Be brief.").prompt == "Be brief."
    assert strategy(system_prompt="").prompt == ""
    assert strategy().prompt == strategy().default_prompt() != ""


@holds_for(("strategy", "names"), [(Observe, ["observe", "think", "answer"]), (Think, ["think", "answer"])])
def test_the_default_prompt_shows_each_block_on_a_line_and_keeps_its_own_format(strategy, names):
    lines = [line for line in strategy().prompt.splitlines() if line.startswith("<")]
    assert list(strategy().read("\n".join(lines)).blocks) == names


@holds_for("strategy", [*FORMATS, LENIENT])
@holds_for(
    "unit", ["<think>", "</think>", "<", "</", "<observe>", "x<think", "\\boxed{", "{", "}", " ", "\\"]
)
def test_a_megabyte_of_tags_is_read_and_hangs_no_format(strategy, unit):
    text = unit * (1_000_000 // len(unit))
    with no_hang():  # tens of milliseconds
        reading = strategy.read(text)
    assert reading.formatted is (isinstance(strategy, Free) and unit != " ")


def fastest(read, *texts):
    """Seconds of this thread in the fastest of five readings of each text; no other process counts."""
    seconds = [[] for _ in texts]
    for _ in range(5):
        for taken, text in zip(seconds, texts, strict=True):
            start = time.thread_time()
            read(text)
            taken.append(time.thread_time() - start)
    return map(min, seconds)


READERS = holds_for("read", [Observe().read, Free().read, LENIENT.read])
UNITS = holds_for("unit", ["<think>", "<answer>", "</answer>", "x<think", "\\boxed{", "{}", "\n"])


def repeated(unit, size):
    return "\\boxed{" + unit * (size // len(unit))  # a box that is never closed is looked for to the end


@READERS
@UNITS
def test_the_work_of_reading_grows_linearly(read, unit):
    text = repeated(unit, 20_000)
    once, twice = work(lambda: read(text)), work(lambda: read(text + text))
    assert twice < 2.1 * once + 200  # 4 times for a quadratic scanner, 8 for a cubic one
    with no_hang():
        read(repeated(unit, 1_000_000))


@pytest.mark.slow
@READERS
@UNITS
def test_the_time_of_reading_grows_linearly(read, unit):
    text = repeated(unit, 500_000)
    assert max(fastest(read, text)) < 2.0
    once, twice = fastest(read, text, text + text)
    assert twice < 3 * once + 0.01  # 4 times for a quadratic scanner, 8 for a cubic one


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
    for strategy in [*FORMATS, LENIENT]:
        reading = strategy.read(text)
        assert reading.formatted is not bool(reading.fault) or reading.fault == "the box is blank"
        assert reading.formatted or reading.answer is None or strategy is LENIENT
        assert reading.answer is None or reading.answer == reading.answer.strip() != ""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["\\", "{", "}", "\\boxed{", "boxed", "\n"]), max_size=12).map("".join))
def test_the_last_box_is_that_of_a_scanner_from_the_front(text):
    opened, boxes, position = [], {}, 0
    while position < len(text):
        token = text[position]
        if text.startswith("\\boxed{", position):
            token = "\\boxed{"
        elif token == "\\":
            token = text[position : position + 2]
        position += len(token)
        if token == "}" and opened:
            start, is_box = opened.pop()
            boxes |= {start: text[start : position - 1]} if is_box else {}
        elif token in ("{", "\\boxed{"):
            opened.append((position, token != "{"))
    assert last_boxed(text) == (boxes[max(boxes)] if boxes else None)


def test_the_last_box_is_the_one_that_opens_last():
    assert last_boxed(r"\boxed{a \boxed{b} c}") == "b"
    assert last_boxed("none") is None


# Lenient reading


@holds_for(
    ("places", "text", "answer"),
    [
        ((), "<answer>3</answer>", None),
        (("tag",), "so <answer> 3 </answer>.", "3"),
        (("tag",), "<answer>3</answer> no, <answer>4</answer>", "4"),
        (("tag",), "<answer>3</answer> and <answer>4", "3"),
        (("tag",), "<answer>the <answer>4</answer>", "4"),
        (("tag",), "<answer> </answer>", None),
        (("tag",), "3</answer>", None),
        (("tag",), "\\boxed{3}", None),
        (("box",), "so \\boxed{ \\frac{1}{4} }", "\\frac{1}{4}"),
        (("line",), "so\nit is\n 3 \n\n", "3"),
        (("line",), "3", "3"),
        (("line",), " \n", None),
        (("tag", "box", "line"), "<answer>1</answer> \\boxed{2}\n3", "1"),
        (("box", "tag", "line"), "<answer>1</answer> \\boxed{2}\n3", "2"),
        (("line", "tag", "box"), "<answer>1</answer> \\boxed{2}\n3", "3"),
        (("tag", "box", "line"), "<answer></answer> \\boxed{ }\n3", "3"),
    ],
)
def test_a_lenient_format_looks_for_the_answer_elsewhere_in_the_given_order(places, text, answer):
    assert find_answer(text, places) == answer
    for strategy in (Observe, Think):
        reading = strategy(lenient=places).read(text)
        assert reading.answer == answer
        assert not reading.formatted
        assert reading.fault == strategy().read(text).fault != ""
        assert reading.blocks == {}


@holds_for("text", [GOOD, GOOD.replace(">3<", "> \\boxed{4}\n5 <")])
def test_leniency_changes_nothing_where_the_format_is_kept(text):
    assert LENIENT.read(text) == Observe().read(text)
    assert LENIENT.read(text).formatted


@holds_for("strategy", [Observe, Think])
def test_formats_are_strict_unless_told_otherwise_and_refuse_places_that_do_not_exist(strategy):
    assert strategy().lenient == ()
    with pytest.raises(RefusedError, match="lenient names the extraction 'end'; give some of tag, box, line"):
        strategy(lenient=("box", "end"))
