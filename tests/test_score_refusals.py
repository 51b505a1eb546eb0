"""What `observer score` refuses, with line, id and value; nothing is left behind."""

import pytest

from observer.cli import main
from observer.rewards import Format
from scoring import QUICK, response, row, write

pytestmark = pytest.mark.usefixtures("in_the_repository")


# What is refused


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"completions": None}, "completions is None; write a list of at least one text"),
        ({"completions": []}, "completions is []; write a list of at least one text"),
        ({"completions": "7"}, "completions is '7'"),
        ({"completions": ["7", 7]}, "completions[1] is 7 (int); write a text"),
        ({"lengths": [1, 2]}, "lengths holds 2 numbers for 1 completions; write one for each"),
        ({"lengths": 3}, "lengths is 3; write a list of whole numbers, or leave it out"),
        ({"lengths": [-1]}, "lengths[0] is -1; write a whole number from 0 to 1,000,000"),
        ({"lengths": [1.0]}, "lengths[0] is 1.0"),
        ({"lengths": [True]}, "lengths[0] is True"),
        ({"lengths": [10**9]}, "lengths[0] is 1000000000"),
        ({"answer": "?"}, "'?'"),
        ({"answer": "red", "kind": "integer"}, "'red' is no integer"),
        ({"answer": "\\frac{", "kind": "expression"}, "'\\\\frac{'"),
        ({"kind": "colour"}, "kind is 'colour'"),
        ({"question": ""}, "question is ''"),
        ({"images": ["a.png", 3]}, "images is"),
        ({"id": "first"}, "its id is taken by line 1"),
    ],
)
def test_a_bad_row_is_named_with_line_id_and_value(refused, fields, expected):
    message = refused(row(7, id="first"), row(7, id="bad") | fields, row(7, id="last"))
    assert "rows.jsonl holds 1 bad row; mend or remove them" in message
    assert f"rows.jsonl:2: row '{fields.get('id', 'bad')}': " in message
    assert expected in message


def kept(index, **fields):
    usual = {"id": "a", "question": "<image>What?", "answer": "7", "index": index, "text": response(7)}
    return usual | {"tokens": 10, "finish_reason": "stop"} | fields


@pytest.mark.usefixtures("no_tokenizer")
def test_kept_completions_are_grouped_by_step_and_row_and_their_ends_count(scored):
    rows = [kept(0, step=3), kept(2, step=3, finish_reason="length"), kept(0, step=4), kept(0, id="b")]
    rows += [kept(1, id="b", answer="8"), kept(1, id="b"), row(8, id="c")]
    lines = scored(*rows)
    assert [line["index"] for line in lines] == [0, 1, 0, 0, 1, 0, 0]
    assert [line["pass_rate"] for line in lines] == [1.0] * 6 + [0.0]
    assert [line["components"]["bonus"] > 0 for line in lines] == [True, False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": 7}, "completions[1] is 7 (int); write a text"),
        ({"tokens": -1}, "lengths[1] is -1"),
        ({"tokens": None}, "lengths[1] is None"),
        ({"finish_reason": "stopped"}, "finish_reason is 'stopped'; it is one of stop, length"),
        ({"finish_reason": ["stop"]}, "finish_reason is ['stop']"),
    ],
)
def test_a_kept_completion_that_is_damaged_is_named_with_its_line(refused, fields, expected):
    assert expected in refused(kept(0), kept(1, **fields), kept(2))
    missing = {name: value for name, value in kept(1).items() if name != "tokens"}
    assert "rows.jsonl:2: row 'rows.jsonl:2': has no tokens; take the file as" in refused(kept(0), missing)


def test_a_row_without_completions_is_refused(refused):
    assert "add the field `completions`" in refused({"id": "a", "question": "q", "answer": "7"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{broken\n", "rows.jsonl:1: row 'rows.jsonl:1': is no JSON"),
        (b"\n\n[1]\n", "rows.jsonl:3: row 'rows.jsonl:3': is [1]; write a JSON object"),
        (b'{"id": "\xff"}', "is no UTF-8 at byte 8"),
        (b'{"completions": ["\\ud800"]}', "half of a surrogate pair"),
        (b'{"lengths": [NaN]}', "holds NaN"),
        (b"\n \n", "holds no row; write one JSON object per line"),
    ],
)
def test_a_broken_file_is_refused(refused, text, expected):
    assert expected in refused(text=text)


def test_the_first_ten_bad_rows_are_listed_at_once(refused):
    message = refused(*(row(7, id=f"r{k}", answer="?") for k in range(30)))
    assert "holds 10 bad rows or more (reading stopped here)" in message
    assert "row 'r9'" in message
    assert "row 'r10'" not in message


@pytest.mark.usefixtures("no_tokenizer")
def test_pictures_are_not_opened(scored):
    (line,) = scored(row(7, question="<image>What?", images=["nowhere.png"]))
    assert line["verdict"] == "correct"


def test_a_missing_input_is_refused(tmp_path, capfd):
    words = ["score", *QUICK, "--input", str(tmp_path / "no.jsonl"), "--output", str(tmp_path / "s.jsonl")]
    assert main(words) == 2
    assert "there is no such file" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["scored.jsonl", "scored.audit.jsonl"])
def test_an_existing_output_is_refused(tmp_path, capfd, taken):
    file = write(tmp_path / "rows.jsonl", row(7))
    (tmp_path / taken).write_text("precious")
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    assert main(words) == 2
    assert f"{taken} exists; name a file that does not" in capfd.readouterr().err
    assert (tmp_path / taken).read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_output_that_cannot_be_written_is_refused(tmp_path, capfd):
    file = write(tmp_path / "rows.jsonl", row(7))
    assert main(["score", *QUICK, "--input", str(file), "--output", str(file / "scored.jsonl")]) == 2
    assert "cannot be written" in capfd.readouterr().err


def test_a_reward_that_fails_leaves_no_half_written_file(tmp_path, monkeypatch):
    def fail(self, group, scores, step):
        if group.problem.id == "last":
            raise OSError("no such luck")
        return [0.0] * len(scores)

    monkeypatch.setattr(Format, "__call__", fail)
    monkeypatch.setattr("observer.score.file.BATCH", 1)
    file = write(tmp_path / "rows.jsonl", row(7, id="first"), row(7, id="last"))
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    with pytest.raises(RuntimeError, match="reward format, row last, step 0"):
        main(words)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
