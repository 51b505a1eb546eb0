"""Odd rows of benchmarks, in the schemas that they publish: read as they are meant, or refused by name."""

import pytest

from observer.data import Columns
from observer.types import RefusedError
from published import SCHEMAS, held, png, written_as


def one(tmp_path, name, **changes):
    """The problem of a preset's second row with other columns."""
    record = SCHEMAS[name][0](1) | changes
    (row,) = Columns(written_as(tmp_path, name, [record]), preset=name).read()
    return row


def refused(tmp_path, name, **changes):
    """How a bad row between good ones is named, where it is skipped and where it is not."""
    records = [SCHEMAS[name][0](n) for n in range(3)]
    records[1] |= changes
    path = written_as(tmp_path, name, records, "parquet" if SCHEMAS[name][1] == "parquet" else None)
    rows = Columns(path, preset=name, on_bad_row="skip").read()
    (skipped,) = rows.skipped
    assert (len(rows), skipped.line) == (2, 2)
    with pytest.raises(RefusedError) as caught:
        Columns(path, preset=name).read()
    assert skipped.reason in str(caught.value)
    return skipped.reason


def shades(problem):
    return [picture.load().getpixel((0, 0))[0] for picture in problem.pictures]


def test_pictures_of_seven_columns_are_shown_where_question_and_options_name_them(tmp_path):
    options = "['<image 2>', '<image 3>', \"it's none\"]"
    row = one(tmp_path, "mmmu", options=options, image_2=held(20), image_3=held(30))
    assert row.question == "What is 1 + 1? <image>\n(A) <image>\n(B) <image>\n(C) it's none"
    assert shades(row) == [1, 20, 30]
    many = {f"image_{place}": held(place * 10) for place in range(1, 8)}
    row = one(tmp_path, "mmmu", question="Which?", **many)
    assert (row.question[:56], shades(row)) == ("<image>" * 7 + "Which?\n", [10, 20, 30, 40, 50, 60, 70])


def test_a_picture_that_is_named_twice_is_shown_once_in_front(tmp_path):
    row = one(tmp_path, "mmmu", question="In <image 1>, what is the sum? See <image 1>.")
    assert row.question.startswith("<image>In <image 1>, what is the sum?")
    assert len(row.pictures) == 1


def test_open_questions_have_no_options_and_one_answer(tmp_path):
    asked = {"options": "[]", "question_type": "open"}
    row = one(tmp_path, "mmmu", **asked, answer="3.5")
    assert (row.options, row.answer, row.kind) == ((), "3.5", "number")
    assert one(tmp_path, "mmmu", **asked, answer="['3.5']").answer == "3.5"
    assert "its answer holds 2 values: ['24/7', '3.429']" in refused(
        tmp_path, "mmmu", **asked, answer="['24/7', '3.429']"
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mmmu", {"options": "[]"}, "has no options: columns.options is options"),
        ("mmmu", {"options": "['1', '2'"}, "options are \"['1', '2'\""),
        ("mmmu", {"image_1": None}, "has no picture"),
        ("mmmu", {"answer": "?"}, "answer"),
        ("mm_bench", dict.fromkeys("ABCD", "nan"), "has no options: columns.options_each is A, B, C, D"),
        ("mm_bench", {"B": None}, "option B is empty, and C is not"),
        ("mm_bench", {"answer": "D"}, "'D'"),
        ("mm_bench", {"answer": None}, "has no answer"),
        ("mm_star", {"question": "What is it?"}, "has no options"),
        ("math_vista", {"answer": None}, "has no answer"),
        ("math_vista", {"decoded_image": None, "image": None}, "has no picture"),
        ("math_vista", {"query": None}, "has no question: columns.question is query"),
        ("math_verse", {"answer": ""}, "has no answer"),
        ("math_verse", {"image": None}, "has no picture"),
        ("geometry3k", {"images": []}, "has"),
        ("geometry3k", {"problem": "<image><image>What?"}, "has 2 marks '<image>' and the row 1 pictures"),
    ],
)
def test_a_malformed_row_is_named_and_never_skipped_silently(tmp_path, name, changes, message):
    assert message in refused(tmp_path, name, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ground_truth": None, "solution": None}, "has no answer: columns.answer is ground_truth, solution"),
        ({"image_path": None}, "has no picture"),
        ({"image_path": "./9.png"}, "is no file"),
    ],
)
def test_a_malformed_row_of_counting_is_named(tmp_path, changes, message):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    assert message in refused(tmp_path, "clevr_counting", **changes)


def test_hints_go_in_front_and_options_that_are_missing_at_the_end_are_none(tmp_path):
    row = one(tmp_path, "mm_bench", hint=" Look at the sum. ", C=None, D="nan")
    assert row.question == "<image>Look at the sum.\nWhat is 1 + 1?\n(A) 1\n(B) 2"
    assert row.options == ("1", "2")
    assert one(tmp_path, "mm_bench", hint=None).question.startswith("<image>What is 1 + 1?")
    assert (row.id, row.metadata["category"], row.metadata["L2-category"]) == ("1", "counting", "reasoning")


def test_options_in_the_question_are_read_with_their_commas(tmp_path):
    row = one(tmp_path, "mm_star")
    assert row.options == ("1", "2", "3, 4", "none")
    assert row.metadata["source"] == "MathVista"


def test_a_question_that_is_in_the_picture_alone_is_asked_for(tmp_path):
    row = one(tmp_path, "math_verse", question="", problem_version="Vision Only")
    assert (row.question, row.options) == ("<image>Answer the question in the picture.", ())
    assert (row.answer, row.kind) == ("B", "choice")
    assert row.metadata["version"] == "Vision Only"


def test_what_an_own_rule_needs_is_kept_as_notes(tmp_path):
    row = one(tmp_path, "math_vista", choices=[], answer="0.25", answer_type="float", precision=2.0)
    assert (row.kind, row.metadata["precision"], row.metadata["answer_type"]) == ("number", 2.0, "float")
    assert row.metadata["source"] == "CLEVR-Math"
    assert "decoded_image" not in row.metadata
    row = one(tmp_path, "math_vista", choices=["Yes", "No"], answer="No", question_type="multi_choice")
    assert (row.kind, row.options) == ("choice", ("Yes", "No"))


def test_the_rows_of_a_problem_of_we_math_are_known_by_their_notes(tmp_path):
    (tmp_path / "1.png").write_bytes(png(1))
    row = one(tmp_path, "we_math", ID="7", key="3steps_multi")
    assert (row.metadata["ID"], row.metadata["key"]) == ("7", "3steps_multi")
