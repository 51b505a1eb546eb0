import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from observer.data import Jsonl, Message
from observer.data.rows import Skipped
from observer.strategies import members
from observer.types import RefusedError, Turn
from tables import holds_for
from written_rows import ESSAY, ROW, refused, written


def test_both_formats_are_members_of_the_family_and_their_base_is_not():
    assert {"Jsonl", "Message"} <= members("rows").keys()
    assert "JsonLines" not in members("rows")


def test_a_full_row_becomes_a_problem(folder, train):
    row = {
        "id": "tri-1",
        "system": "Be brief.",
        "question": "Is <image> larger than <image>?",
        "images": ["a.png", "b.png"],
        "answer": "B",
        "options": ["yes", "no"],
        "kind": "choice",
        "difficulty": 0.375,
        "complexity": 164.5,
        "level": 11,
        "metadata": {"source": {"name": "We-Math"}},
        "topic": ["area"],
    }
    rows = Jsonl(written(train, ROW, row)).read()
    problem = rows[1]
    assert (problem.id, problem.row, problem.answer, problem.kind) == ("tri-1", 1, "B", "choice")
    assert problem.turns == (Turn("system", "Be brief."), Turn("user", row["question"]))
    assert [picture.size() for picture in problem.pictures] == [(20, 30), (40, 50)]
    assert problem.pictures[1].load().getpixel((0, 0)) == (0, 0, 255)
    assert problem.options == ("yes", "no")
    assert (problem.difficulty, problem.complexity, problem.level) == (0.375, 164.5, 11)
    assert problem.metadata == {"source": {"name": "We-Math"}, "topic": ["area"]}
    assert problem.source == f"{train}:2"


def test_a_short_row_gets_defaults(train):
    problem = Jsonl(written(train, "", ROW)).read()[0]
    assert (problem.id, problem.kind, problem.source) == ("train.jsonl:2", "integer", f"{train}:2")
    assert (problem.difficulty, problem.complexity, problem.level) == (0.5, 0.0, 4)
    assert (problem.pictures, problem.options, dict(problem.metadata)) == ((), (), {})


def test_pictures_without_marks_come_first_and_marks_are_kept_where_they_are(folder, train):
    rows = Jsonl(
        written(
            train,
            ROW | {"images": ["a.png", "b.png"]},
            ROW | {"question": "Left of <image>?", "images": ["a.png"]},
            ROW,
        )
    ).read()
    assert [problem.question for problem in rows] == [
        "<image><image>How many?",
        "Left of <image>?",
        "How many?",
    ]


def test_without_a_level_the_difficulty_in_eighths_is_the_level(train):
    rows = Jsonl(written(train, *(ROW | {"difficulty": k / 8} for k in range(9)))).read()
    assert rows.level.tolist() == list(range(9))


def test_numbers_are_taken_as_answers_and_ids(train):
    rows = Jsonl(written(train, ROW | {"answer": 7, "id": 12}, ROW | {"answer": 0.25})).read()
    assert [(problem.answer, problem.kind, problem.id) for problem in rows] == [
        ("7", "integer", "12"),
        ("0.25", "number", "train.jsonl:2"),
    ]


def test_the_index_arrays_cover_all_rows_and_cannot_be_written(train):
    rows = Jsonl(written(train, ROW | {"difficulty": 0.1, "complexity": 3}, ROW | {"level": 2})).read()
    for array, dtype, values in (
        (rows.difficulty, np.float32, [0.1, 0.5]),
        (rows.complexity, np.float32, [3, 0]),
        (rows.level, np.int64, [1, 2]),
    ):
        assert array.dtype == dtype
        np.testing.assert_allclose(array, values, rtol=1e-6)
        assert not array.flags.writeable
    assert list(rows.checked_rows()) == [0, 1]
    with pytest.raises(IndexError):
        rows[2]


def test_rows_beyond_one_batch_keep_their_order(train, monkeypatch):
    monkeypatch.setattr("observer.data.formats.row_file.BATCH_ROWS", 3)
    good = [ROW | {"id": f"r{number}", "answer": number} for number in range(10)]
    good[4] = ROW | {"id": "r4", "answer": ""}
    rows = Jsonl(written(train, *good), on_bad_row="skip").read()
    assert [problem.id for problem in rows] == [f"r{number}" for number in range(10) if number != 4]
    assert [problem.row for problem in rows] == list(range(9))
    assert [rows[row].id for row in (8, -1, 0, 3)] == ["r9", "r9", "r0", "r3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "answer is None (NoneType); write a non-empty string or a number"),
        ({"answer": True}, "answer is True (bool); write"),
        ({"answer": ["7"]}, "answer is ['7'] (list); write"),
        ({"answer": " "}, "answer is ' ' (str); write a non-empty string"),
        ({"answer": ESSAY}, "no rule can check the answer 'a red bicycle that"),
        ({"answer": "red", "kind": "integer"}, "'red'"),
        ({"answer": "Z", "options": ["x", "y"]}, "'Z'"),
        ({"kind": "essay"}, "kind is 'essay' (str); write one of "),
        ({"kind": 3}, "kind is 3 (int); write a string"),
        ({"question": 7}, "question is 7 (int); write a string"),
        ({"question": ""}, "question is ''; write what is asked"),
        ({"question": "\n", "images": ["a.png"]}, "question is '\\n'; write what is asked"),
        (
            {"question": "<image>?"},
            "question has 1 <image> marks and images names 0; write one mark a picture",
        ),
        (
            {"question": "<image> <image>?", "images": ["a.png"]},
            "2 <image> marks and images names 1; write one mark a picture, or none: '<image> <image>?'",
        ),
        ({"images": "a.png"}, "images is 'a.png' (str); write a list of non-empty strings"),
        ({"images": [""]}, "images is [''] (list); write a list of non-empty strings"),
        ({"options": ["x", 3]}, "options is ['x', 3] (list); write a list"),
        ({"system": ["x"]}, "system is ['x'] (list); write a string"),
        (
            {"system": "See <image>"},
            "system holds <image>: 'See <image>'; put the pictures into the question",
        ),
        (
            {"question": "<|image_pad|>?"},
            "holds '<|image_pad|>', which the model would read as structure; remove it",
        ),
        ({"question": "?<|vision_start|>"}, "holds '<|vision_start|>'"),
        ({"question": "?<|video_pad|>"}, "holds '<|video_pad|>'"),
        ({"question": "?<|im_end|>\n<|im_start|>system"}, "holds '<|im_end|>'"),
        ({"system": "<|endoftext|>"}, "holds '<|endoftext|>'"),
        ({"difficulty": 1.5}, "difficulty is 1.5 (float); write a number in [0, 1]"),
        ({"difficulty": -0.1}, "difficulty is -0.1 (float); write a number in [0, 1]"),
        ({"difficulty": "0.5"}, "difficulty is '0.5' (str); write a number in [0, 1]"),
        ({"difficulty": True}, "difficulty is True (bool)"),
        ({"complexity": -1}, "complexity is -1 (int); write a number >= 0"),
        ({"complexity": 10**60}, "complexity is 1000"),
        ({"level": -1}, "level is -1 (int); write a whole number >= 0"),
        ({"level": 2.0}, "level is 2.0 (float); write a whole number >= 0"),
        ({"level": 2**63}, "level is 9223372036854775808 (int)"),
        ({"metadata": "x"}, "metadata is 'x' (str); write an object"),
        ({"metadata": {"topic": 1}, "topic": 2}, "holds 'topic' both in `metadata` and beside it; keep one"),
        ({"images": ["http://x.org/a.png"]}, "picture 'http://x.org/a.png' is a URL"),
        ({"images": ["../a.png"]}, "out of the data folder"),
        ({"images": ["missing.png"]}, "picture 'missing.png' is no file"),
        ({"images": ["cut.jpg"]}, "cut.jpg is broken, cut off or none of PNG"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_id_and_value(folder, train, change, message):
    jpeg = folder / "cut.jpg"
    Image.effect_noise((64, 64), 50).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:1000])
    text = refused(Jsonl, train, ROW, {"id": "x-1"} | ROW | change)
    assert f"{train}:2: row 'x-1': " in text
    assert message in text
    assert f"{train} holds 1 bad row; mend them or set on_bad_row to skip" in text


@pytest.mark.parametrize("value", ["", None, 1.5, True, ["a"]])
def test_a_bad_id_is_refused_under_the_default_id(train, value):
    text = refused(Jsonl, train, ROW | {"id": value})
    assert (
        f"{train}:1: row 'train.jsonl:1': id is {value!r} ({type(value).__name__}); write a non-empty" in text
    )


def test_a_row_without_an_answer_is_refused(train):
    assert "train.jsonl:1': has no answer; add the field `answer`" in refused(Jsonl, train, {"question": "?"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is no JSON (Expecting property name"),
        ("[" * 100_000, "is no JSON (maximum recursion depth exceeded"),
        ('{"answer": ' + "9" * 5000 + "}", "is no JSON (Exceeds the limit"),
        ('["a"]', "is ['a']; write a JSON object"),
        ("7", "is 7; write a JSON object"),
        ('{"question": "?", "answer": NaN}', "holds NaN, which is no JSON number"),
        (
            '{"question": "?", "answer": 1, "difficulty": -Infinity}',
            "holds -Infinity, which is no JSON number",
        ),
        (
            '{"question": "?", "answer": 1, "complexity": 1e999}',
            "holds the number '1e999', which is too large",
        ),
        ('{"question": "?", "answer": 1, "answer": 2}', "holds the key 'answer' twice in one object"),
        ('{"question": "\\ud83d?", "answer": 1}', r"holds '\ud83d', half of a surrogate pair"),
        (b'{"question": "caf\xe9", "answer": 1}', r"is no UTF-8 at byte 17 of its line: b'\xe9"),
    ],
)
def test_a_line_that_is_no_strict_json_object_is_refused(train, line, message):
    text = refused(Jsonl, train, ROW, line)
    assert f"{train}:2: row 'train.jsonl:2': " in text
    assert message in text
    assert len(text) < 600


def test_a_long_value_is_shortened_in_the_message(train):
    text = refused(Jsonl, train, ROW | {"options": "x" * 1000})
    assert "options is '" + "x" * 76 + "... (str)" in text


def test_escaped_surrogate_pairs_and_a_byte_order_mark_are_read(train):
    rows = Jsonl(
        written(train, b"\xef\xbb\xbf" + json.dumps(ROW | {"question": "\U0001f600?"}).encode())
    ).read()
    assert rows[0].question == "\U0001f600?"


def test_an_id_that_is_taken_is_refused(train):
    text = refused(Jsonl, train, ROW | {"id": "a"}, ROW, ROW | {"id": "a"}, ROW | {"id": "train.jsonl:2"})
    assert f"{train}:3: row 'a': its id is taken by line 1; give each row its own" in text
    assert f"{train}:4: row 'train.jsonl:2': its id is taken by line 2" in text


def test_several_bad_rows_are_refused_together_in_the_order_of_the_file(train):
    text = refused(Jsonl, train, "{", ROW, ROW | {"level": -1})
    assert "holds 2 bad rows; mend them" in text
    assert text.index("train.jsonl:1: ") < text.index("train.jsonl:3: ")


def test_many_bad_rows_are_named_up_to_ten(train):
    text = refused(Jsonl, train, *["{"] * 30)
    assert "holds 10 bad rows (reading stopped here, there may be more)" in text
    assert text.count("is no JSON") == 10


def test_bad_rows_are_skipped_counted_and_named(folder, train):
    path = written(
        train,
        ROW | {"id": "good", "images": ["a.png"]},
        "{",
        ROW | {"id": "lost", "images": ["a.png", "missing.png"]},
        ROW | {"id": "good"},
        ROW | {"id": "last", "images": ["b.png"]},
    )
    rows = Jsonl(path, on_bad_row="skip").read()
    assert [problem.id for problem in rows] == ["good", "last"]
    assert [(skipped.line, skipped.id) for skipped in rows.skipped] == [
        (2, "train.jsonl:2"),
        (3, "lost"),
        (4, "good"),
    ]
    assert str(rows.skipped[2]) == f"{path}:4: row 'good': its id is taken by line 1; give each row its own"
    assert isinstance(rows.skipped[0], Skipped)


def test_a_file_of_bad_rows_only_is_refused_even_if_they_are_to_be_skipped(train):
    with pytest.raises(
        RefusedError, match=r"train\.jsonl holds no good row\n  .*train\.jsonl:1: row .*is no JSON"
    ):
        Jsonl(written(train, "{"), on_bad_row="skip").read()


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused(train, content):
    train.write_bytes(content)
    with pytest.raises(RefusedError, match=r"train\.jsonl holds no good row$"):
        Jsonl(str(train)).read()


def test_a_missing_file_is_refused_with_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=rf"{tmp_path}/none\.jsonl cannot be read \(No such file"):
        Jsonl("none.jsonl").read()
    with pytest.raises(RefusedError, match="cannot be read \\(Is a directory"):
        Jsonl(str(tmp_path)).read()


@holds_for(
    ("options", "message"),
    [
        ({"path": ""}, "path is empty; name a file of rows"),
        ({"on_bad_row": "drop"}, "on_bad_row is 'drop'; set it to one of ('refuse', 'skip')"),
        ({"check_images": "no"}, "check_images is 'no'; set it to one of ('decode', 'header')"),
        ({"max_image_pixels": 0}, "max_image_pixels is 0; set it within 1 .. 178956970"),
    ],
)
@holds_for("file_format", [Jsonl, Message])
def test_impossible_options_are_refused(file_format, options, message):
    with pytest.raises(RefusedError) as caught:
        file_format(**{"path": "train.jsonl"} | options)
    assert message in str(caught.value)


@pytest.mark.slow
def test_two_hundred_thousand_rows_take_less_than_a_kilobyte_each(folder, train):
    count = 200_000
    with train.open("w") as file:
        for number in range(count):
            row = ROW | {
                "id": f"row-{number}",
                "question": f"{number}? " * 20,
                "images": ["a.png"],
                "topic": "area",
            }
            file.write(json.dumps(row) + "\n")
    script = (
        "import resource, sys; from observer.data import Jsonl\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); rows = Jsonl(sys.argv[1]).read(); print(len(rows), rows.nbytes, peak() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", script, train], capture_output=True, text=True, check=True)
    length, table, growth = map(int, ran.stdout.split())
    assert length == count
    assert table / count < 1000
    assert growth / count < 2000  # the ids seen so far included
