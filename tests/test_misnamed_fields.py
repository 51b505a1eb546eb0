"""Fields under another name than the one that is read: refused where the row would go without them."""

import base64

import pytest

from observer.data import Jsonl, Message
from observer.types import RefusedError
from scoring import row as scored_row
from tables import holds_for
from written_rows import ROW, refused, written

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
TURN = {"role": "user", "content": "How many?"}
SHOWING = {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "?"}]}


def problem_of(record, file_format=Jsonl):
    return file_format("rows.jsonl").problem(record)


def refusal_of(record, file_format=Jsonl):
    with pytest.raises(RefusedError) as caught:
        problem_of(record, file_format)
    return str(caught.value)


PICTURES = [
    {"image": "base.png"},
    {"image": "COCO_train2014_000000123"},
    {"image_path": "data/base.png"},
    {"imagePath": "base.png"},
    {"Images": ["base.png"]},
    {"pictures": ["base.png"]},
    {"picture": "base.png"},
    {"img": "base.jpg"},
    {"image_1": "base.png"},
    {"image_url": "https://x.org/base"},
    {"image_base64": PNG},
    {"image": f"data:image/png;base64,{PNG}"},
    {"image": {"bytes": PNG, "path": None}},
    {"decoded_image": {"bytes": PNG}},
    {"image": {"path": "base.png"}},
    {"image": [{"bytes": PNG}, None]},
    {"images_list": [{"url": "base.webp"}]},
    {"file_name": "geometry/base.PNG"},
    {"diagram": "base.jpeg"},
    {"screenshot": "Screenshot 2024-01-01 at 10.00.png"},
    {"figures": ["one.png", "two.png"]},
    {"extra_info": {"image": "base.png"}},
    {"messages": [{"role": "user", "content": [{"type": "image", "image": "base.png"}]}]},
    {"jpg": "/9j/" + PNG},
]


@holds_for("field", PICTURES)
def test_a_picture_under_a_name_that_is_not_read_is_refused_with_the_name_that_is(field):
    [name] = field
    text = refusal_of(ROW | field)
    assert text.startswith(f"holds '{name}'")
    assert "`images`" in text
    assert "`metadata`" in text


@holds_for("field", [*PICTURES, {"images": ["base.png"]}])
def test_a_picture_beside_a_message_that_shows_none_is_refused(field):
    text = refusal_of({"message": [TURN], "answer": "3"} | field, Message)
    assert text.startswith(f"holds '{next(iter(field))}'")
    assert "`message`" in text


@holds_for("field", PICTURES)
def test_in_metadata_a_picture_may_have_any_name(field):
    assert problem_of(ROW | {"metadata": field}).metadata == field


@holds_for(
    "field",
    [
        {"image_type": "chart"},
        {"image_size": [20, 30]},
        {"image_width": 30},
        {"num_images": 2},
        {"image_id": 123},
        {"has_image": True},
        {"image": None},
        {"image": ""},
        {"image": "None"},
        {"images_used": []},
        {"image_caption": "A red cat. See a.png for more"},
        {"source": "scans/page_3.png"},
        {"solution": "see a.png"},
        {"solution_image": "solution.png"},
        {"topic": ["area", "angles"]},
        {"note": "The file is the one that I have named as a.png"},
        {"extra_info": {"index": 3, "split": "train"}},
        {"picturesque": "yes"},
        {"imagination": "high"},
        {"version": "1.0"},
        {"url": "https://x.org/page.html"},
    ],
)
@holds_for("file_format", [Jsonl, Message])
def test_what_only_sounds_like_a_picture_stays_metadata(field, file_format):
    row = ROW if file_format is Jsonl else {"message": [TURN], "answer": "3"}
    assert problem_of(row | field, file_format).metadata == field


@holds_for(
    "field",
    [
        {"image": "a.png"},
        {"image_path": "data/a.png"},
        {"image_url": "https://x.org/b.png"},
        {"image": {"bytes": PNG, "path": "a.png"}},
        {"source_file": "b.png"},
        {"pictures": ["a.png"]},
    ],
)
def test_a_second_name_of_a_picture_that_is_read_stays_metadata(field):
    assert problem_of(ROW | {"images": ["./a.png"]} | field).metadata == field
    assert problem_of({"message": [SHOWING], "answer": "3"} | field, Message).metadata == field


@holds_for("field", [{"image_2": "b.png"}, {"pictures": ["a.png", "b.png"]}])
def test_a_picture_is_refused_that_is_none_of_those_that_are_read(field):
    assert "('b.png'), which looks like a picture" in refusal_of(ROW | {"images": ["a.png"]} | field)
    shown = refusal_of({"message": [SHOWING], "answer": "3"} | field, Message)
    assert "('b.png'), which looks like a picture" in shown


def test_marks_without_pictures_are_blamed_on_the_field_that_holds_them():
    assert refusal_of({"question": "<image>?", "answer": "3", "image": "a.png"}).startswith("holds 'image'")


@holds_for(
    "name",
    ["answers", "solution", "label", "gt", "ground_truth", "groundTruth", "gold", "final_answer", "target"],
)
def test_a_missing_answer_names_the_field_that_may_be_it(name):
    text = refusal_of({"question": "How many?", name: "3"})
    assert text.startswith("has no answer; add the field `answer`")
    assert f"the row holds `{name}`: rename it if that is the answer" in text


def test_several_fields_that_may_be_the_answer_are_all_named():
    text = refusal_of({"question": "How many?", "solution": "1 + 2 = 3", "label": "3", "topic": "sums"})
    assert "the row holds `solution`, `label`: rename the one that is the answer" in text


@holds_for("name", ["query", "problem", "prompt", "messages"])
def test_a_missing_question_names_the_field_that_may_be_it(name):
    assert f"the row holds `{name}`: rename it if that is the question" in refusal_of(
        {name: "How many?", "answer": "3"}
    )


@holds_for("name", ["messages", "conversations", "question"])
def test_a_missing_message_names_the_field_that_may_be_it(name):
    text = refusal_of({name: [TURN], "answer": "3"}, Message)
    assert f"the row holds `{name}`: rename it if that is the message" in text


@holds_for("options", [["red", "blue"], {"A": "red", "B": "blue"}])
@holds_for("name", ["choices", "option", "answer_choices"])
def test_options_under_another_name_are_refused(name, options):
    text = refusal_of(ROW | {name: options, "answer": "B"})
    assert text.startswith(f"holds '{name}', which is not read; rename it to `options`")


def test_choices_beside_options_and_choices_that_are_none_stay_metadata():
    assert problem_of(ROW | {"options": ["7", "8"], "choices": ["7", "8"]}).options == ("7", "8")
    for value in (None, [], "free form", 4):
        assert problem_of(ROW | {"choices": value}).metadata == {"choices": value}


@holds_for("name", ["ID", "Id", "Difficulty", "Level", "Kind", "Options", "System", "Complexity"])
def test_a_field_of_another_case_is_refused(name):
    text = refusal_of(ROW | {name: 1})
    assert f"holds '{name}', which is not read; rename it to `{name.lower()}`" in text


def test_ids_of_other_names_stay_metadata():
    names = {"uid": 1, "question_id": "q-1", "index": 3}
    assert problem_of(ROW | names).metadata == names


def test_the_refusal_of_a_file_names_line_and_row(folder, train):
    text = refused(Jsonl, train, ROW, ROW | {"id": "r", "image": "a.png"})
    assert f"{train}:2: row 'r': holds 'image' ('a.png'), which looks like a picture" in text


def test_rows_to_score_are_held_to_the_same(tmp_path):
    from observer.score.rows import survey
    from observer.verifier import Limits, Verifier

    rows = [scored_row(7, id="p") | {"image": "a.png"}, {"id": "c", **ROW, "responses": ["7"]}]
    path = tmp_path / "rows.jsonl"
    written(path, *rows)
    verifier = Verifier(Limits())
    with pytest.raises(RefusedError) as caught:
        survey(path, verifier)
    assert "row 'p': holds 'image' ('a.png'), which looks like a picture" in str(caught.value)
    assert "the row holds `responses`: rename it if that is the completions" in str(caught.value)
