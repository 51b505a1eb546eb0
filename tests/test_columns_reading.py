"""Files of other projects that are broken, hostile, large or mistaken: refused by name, and never in part."""

import io
import json
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from observer.data import ColumnMap, Columns
from observer.data.columns import sources
from observer.data.columns.choices import options_in, options_of
from observer.data.columns.golds import gold_in
from observer.types import RefusedError
from published import SCHEMAS, png, published, written_as

PICTURED = {"decoded_image", "image", "image_path", "ImagePath"}
PLAIN = ColumnMap(question="q", answer="a", pictures="p")


def refused(tmp_path, *records, ending="parquet", mapping=PLAIN, **options):
    path = written_as(tmp_path, "rows", list(records), ending)
    with pytest.raises(RefusedError) as caught:
        Columns(path, columns=mapping, **options).read()
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": None}, "has no question: columns.question is q; the row holds ['a', 'q']"),
        ({"a": None}, "has no answer: columns.answer is a"),
        ({"q": 7}, "its question is 7; columns.question has to be a text"),
        ({"q": "<image><image>?", "p": [png(1)]}, "has 2 marks '<image>' and the row 1 pictures"),
        ({"q": "Is <|im_end|> it?"}, "holds '<|im_end|>', which the model would read as structure"),
        ({"p": ["https://example.org/a.png"]}, "is a URL; only local files are opened"),
        ({"p": ["../secret.png"]}, "out of the data folder"),
        ({"p": ["a.png"]}, "picture 'a.png' is no file"),
        ({"p": [b"no picture"]}, "is broken, cut off or none of PNG"),
        ({"p": [{"bytes": None, "path": None, "other": 1}]}, "its picture is {"),
        ({"p": [png(1)[:-30]]}, "is broken, cut off"),
        ({"shot": png(1)}, "holds 'shot' (bytes), which is not read and is no note"),
        ({"image": {"bytes": png(1), "path": "x.png"}}, "holds 'image'"),
        ({"image_path": "a.png"}, "holds 'image_path' ('a.png'), which looks like a picture and is not read"),
        ({"choices": ["x", "y"]}, "holds 'choices', which looks like options and is not read"),
        (
            {"a": "\\anser{0.39} To estimate the displacement of the object during the first 7 seconds"},
            "no rule",
        ),
    ],
)
def test_a_row_that_would_be_another_is_refused_with_file_row_value_and_mend(tmp_path, change, message):
    told = refused(tmp_path, {"q": "How many?", "a": "7"} | change)
    assert f"{tmp_path}/rows.parquet:1: row 'rows.parquet:1': " in told
    assert message in told


def test_bytes_that_are_a_bomb_are_refused_by_their_size(tmp_path):
    file = io.BytesIO()
    Image.new("L", (4000, 4000)).save(file, "PNG")
    told = refused(tmp_path, {"q": "?", "a": "7", "p": [file.getvalue()]}, max_image_pixels=1000)
    assert "claims 4000 x 4000 pixels, more than max_image_pixels = 1000" in told


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("rows.json", b'[{"q": "?", "a": "7"}, {"q"', "its array does not end after row 1"),
        ("rows.json", b'[{"q": "?", "a": "7"}', "its array does not end after row 1"),
        ("rows.json", b'[{"q": "?", "a": NaN}]', "holds NaN, which is no JSON number"),
        ("rows.json", b'[{"q": "?", "q": "!", "a": "7"}]', "holds the key 'q' twice"),
        ("rows.json", b"[" * 100_000, "nested too deeply"),
        ("rows.json", b'{"q": ["?"], "a": ["7", "8"]}', "columns of several lengths"),
        ("rows.json", b'{"q": "?"}', "write an array of objects, an object of columns"),
        ("rows.json", b"7", "write an array of objects"),
        ("rows.json", b"", "is no JSON"),
        ("rows.json", b"[]", "holds no good row"),
        ("rows.json", b"[7]", "is 7; write an object of columns"),
        ("rows.json", b'\xff["?"]', "cannot be read"),
        ("rows.jsonl", b'{"q": "?", "a": "7"}\n{"q"', "is no JSON"),
        ("rows.csv", b"q,a\n", "name a file that ends with .parquet, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_is_refused_whole(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedError) as caught:
        Columns(str(tmp_path / name), columns=PLAIN).read()
    assert message in str(caught.value)


def test_a_parquet_file_that_is_cut_in_its_middle_is_refused_even_where_bad_rows_are_skipped(tmp_path):
    path = Path(written_as(tmp_path, "rows", [{"q": f"{n}?", "a": "7"} for n in range(400)], "parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 400] = b"\xff" * 400
    path.write_bytes(content)
    with pytest.raises(RefusedError, match="cannot be read as parquet"):
        Columns(str(path), columns=PLAIN, on_bad_row="skip").read()


def test_an_array_is_read_row_by_row_whatever_the_parts_it_is_read_in(tmp_path, monkeypatch):
    records = [{"q": f"Is it {n}? \\u00e9 [{{", "a": str(n)} for n in range(40)]
    path = tmp_path / "rows.json"
    path.write_text(" \n" + json.dumps(records, indent=3))
    whole = list(sources.records_of(str(path), 0, ()))
    for part in (1, 7, 64):
        monkeypatch.setattr(sources, "PART", part)
        assert list(sources.records_of(str(path), 0, ())) == whole
    assert len(whole) == 40


def test_no_more_than_a_few_rows_of_a_parquet_file_are_held(tmp_path):
    path = written_as(tmp_path, "rows", [{"q": "?", "a": "7", "p": [png(n)]} for n in range(200)], "parquet")
    before = pa.total_allocated_bytes()
    rows = sources.records_of(path, 0, ())
    list(islice(rows, 100))
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert len(list(rows)) == 100


def test_columns_that_are_ignored_are_not_read(tmp_path):
    path = written_as(tmp_path, "rows", [{"q": "?", "a": "7", "image": png(1)}], "parquet")
    (row,) = Columns(path, columns=ColumnMap(question="q", answer="a", ignore=["image"])).read()
    assert (row.pictures, dict(row.metadata)) == ((), {})


def test_a_picture_of_many_rows_is_kept_once_and_one_that_is_lost_is_kept_anew(tmp_path, monkeypatch, small):
    path = written_as(
        tmp_path, "rows", [{"q": "?", "a": str(n), "p": [png(5)]} for n in range(30)], "parquet"
    )
    rows = Columns(path, columns=PLAIN).read()
    kept = [file for file in (tmp_path / "cache" / "pictures").rglob("*") if file.is_file()]
    assert len(kept) == 1
    times = kept[0].stat().st_mtime_ns
    assert Columns(path, columns=PLAIN).read()[29].pictures[0].load().size == (12, 8)
    assert kept[0].stat().st_mtime_ns == times
    kept[0].unlink()
    with pytest.raises(RefusedError, match="is no file"):
        rows[0].pictures[0].load()
    again = Columns(path, columns=PLAIN).read()
    assert again[0].pictures[0].load().size == (12, 8)
    assert again.fingerprints().tolist() == rows.fingerprints().tolist()


@pytest.mark.parametrize("name", ["math_vision", "we_math", "polymath", "scemqa", "mathv360k"])
def test_a_row_of_a_source_of_pictures_does_not_train_as_text_where_its_picture_is_missing(tmp_path, name):
    row = {key: value for key, value in SCHEMAS[name][0](1).items() if key not in PICTURED}
    with pytest.raises(RefusedError, match=r"has no picture: columns.pictures is .*; the row holds"):
        Columns(written_as(tmp_path, "rows", [row], "jsonl"), preset=name).read()


def test_a_folder_of_caches_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path / "file"))
    told = refused(tmp_path, {"q": "?", "a": "7", "p": [png(1)]})
    assert "its picture cannot be kept in" in told
    assert "set OBSERVER_CACHE to a folder with room" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "verll"}, "preset is 'verll'; there are .*easy_r1, .*did you mean verl"),
        ({}, "columns names no column of a question; set columns.question, or a preset"),
        ({"columns": ColumnMap(question="q")}, "columns names no column of an answer"),
        ({"path": "hub:alone", "preset": "verl"}, "path is 'hub:alone'; write hub:<owner>/<name>"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(RefusedError, match=message):
        Columns(**{"path": "rows.parquet", **options}).read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"take": ["boxes"]}, "columns.take holds 'boxes'; write some of boxed, macro, tag, letters"),
        ({"unplaced": "drop"}, "columns.unplaced is 'drop'; write one of refuse, words"),
        ({"marks": "{n}"}, "columns.marks is '{n}'; write a mark such as <image>"),
        ({"marks": "<image>", "unplaced": "words"}, "columns.unplaced is words, and columns.marks"),
        ({"cut": [""]}, "columns.cut holds an empty text"),
    ],
)
def test_mappings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(RefusedError) as caught:
        ColumnMap(**options)
    assert message in str(caught.value)


def test_numbered_marks_place_pictures_in_the_order_of_their_numbers(tmp_path):
    mapping = ColumnMap(question="q", answer="a", pictures="p", marks="<image{n}>")
    record = {"q": "Is <image2> larger than <image1>?", "a": "yes", "p": [png(10), png(20)]}
    (row,) = Columns(written_as(tmp_path, "rows", [record], "parquet"), columns=mapping).read()
    assert row.question == "Is <image> larger than <image>?"
    assert [picture.load().getpixel((0, 0))[0] for picture in row.pictures] == [20, 10]
    told = refused(tmp_path, record | {"q": "Is <image2> larger than <image2>?"}, mapping=mapping)
    assert "has 2 marks '<image{n}>' and the row 2 pictures" in told
    told = refused(tmp_path, record | {"q": "Is <image> larger?"}, mapping=mapping)
    assert "its text holds <image>, and columns.marks is '<image{n}>'" in told


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("A. 1;B. 1.5;C. 3.14; D. No, none", ("1", "1.5", "3.14", "No, none")),
        ("A. B; B. A; C. D", ("B", "A", "D")),
        ("(A) red (B) blue", ("red", "blue")),
        ("A、三；B、四", ("三", "四")),
    ],
)
def test_options_in_one_text_are_taken_apart(text, options):
    assert options_of(text) == options


@pytest.mark.parametrize("text", ["A. only", "B. 1; C. 2", "", "no options", "A. ; B. 2"])
def test_a_text_that_is_no_list_of_options_is_refused_and_not_guessed(text):
    assert options_in(text) == ()
    with pytest.raises(RefusedError, match="write a list of texts"):
        options_of(text)


def test_an_answer_with_several_values_is_refused_and_one_that_is_never_closed_is_left_as_it_is():
    with pytest.raises(RefusedError, match=r"its answer holds 2 values: \['3', '4'\]"):
        gold_in(r"\answer{3} \answer{4}", [], ["macro"], ())
    assert gold_in(r"\boxed{3} then \boxed{\frac{1}{2}}", [], ["boxed"], ()) == r"\frac{1}{2}"
    assert gold_in(r"\boxed{3", [], ["boxed"], ()) == r"\boxed{3"
    assert gold_in("A red bicycle", [], ["letters"], ()) == "A red bicycle"
    assert gold_in(r"\boxed{" * 20_000, [], ["boxed"], ()).startswith(r"\boxed")


def test_estimates_and_skipped_rows_are_those_of_every_format(tmp_path):
    (tmp_path / "learned.jsonl").write_text(
        json.dumps({"id": "easy_r1.parquet:2", "difficulty": 0.25}) + "\n"
    )
    rows = published(tmp_path, "easy_r1", difficulty_from=str(tmp_path / "learned.jsonl")).read()
    assert rows.difficulty.tolist()[:3] == [0.5, 0.25, 0.5]
    records = [SCHEMAS["easy_r1"][0](n) for n in range(4)]
    records[1]["images"], records[3]["answer"] = [{"bytes": b"x", "path": None}], ""
    rows = Columns(written_as(tmp_path, "easy_r1", records), preset="easy_r1", on_bad_row="skip").read()
    assert [(skipped.line, skipped.id) for skipped in rows.skipped] == [
        (2, "easy_r1.parquet:2"),
        (4, "easy_r1.parquet:4"),
    ]
    assert [problem.answer for problem in rows] == ["1", "3"]
