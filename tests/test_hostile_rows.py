"""Rows whose names and values are hostile: refused in a line, and never printed as they are."""

import json

import pytest

from admitting import admitted
from observer.data import Jsonl, Message
from observer.data.rows import Skipped
from observer.rewards import Format
from observer.types import RefusedError, Score, Verdict
from scoring import row as scored_row
from written_rows import ROW, refused, written

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\u2028"
"""Sets a terminal's title, clears its screen, starts a new line, turns the direction of writing."""
HUGE = "x" * 100_000
SHOWN_CHARACTERS = 1200


def assert_harmless(text):
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) <= SHOWN_CHARACTERS


@pytest.mark.parametrize("name", ["a\0.png", "\0", "file:///a\0.png", "file:///a%00.png", "a.png\0"])
@pytest.mark.parametrize("check", ["decode", "header"])
def test_a_zero_byte_in_the_path_of_a_picture_is_refused_with_file_and_row(folder, train, name, check):
    def file_format(path):
        return Jsonl(path, check_images=check)

    text = refused(file_format, train, ROW, ROW | {"id": "r", "images": [name]})
    assert f"{train}:2: row 'r': picture {name!r} is no path that can be looked up" in text


def test_a_zero_byte_in_the_path_of_a_message_is_refused_with_file_and_row(folder, train):
    turn = {"role": "user", "content": [{"type": "image", "image": "a\0"}, {"type": "text", "text": "?"}]}
    text = refused(Message, train, {"id": "r", "message": [turn], "answer": "3"})
    assert f"{train}:1: row 'r': picture 'a\\x00' is no path that can be looked up" in text


@pytest.mark.parametrize("option", ["path", "images", "difficulty_from"])
def test_a_zero_byte_in_a_path_of_the_options_is_refused_with_its_name(train, option):
    options = {"path": written(train, ROW), option: "a\0b"}
    with pytest.raises(RefusedError, match=rf"^{option} is 'a\\x00b'; remove the zero byte"):
        Jsonl(**options).read()


@pytest.mark.parametrize("value", [HOSTILE, HUGE], ids=["escape sequences", "huge"])
@pytest.mark.parametrize(
    "fields",
    [
        lambda value: {"images": [value]},
        lambda value: {"images": [f"../{value}"]},
        lambda value: {"images": [f"file:///{value}"]},
        lambda value: {"images": [f"http://{value}"]},
        lambda value: {"images": value},
        lambda value: {"id": value, "answer": None},
        lambda value: {"id": [value]},
        lambda value: {"answer": [value]},
        lambda value: {"answer": value + "#"},
        lambda value: {"kind": value},
        lambda value: {"options": value},
        lambda value: {"level": value},
        lambda value: {"difficulty": {value: 1}},
        lambda value: {"question": f"<|{value}|>", "images": ["a.png", value]},
        lambda value: {"metadata": {value: 1}, value: 1},
        lambda value: {"image": value},
        lambda value: {f"{value}.image": "a.png"},
        lambda value: {"system": f"<image>{value}"},
    ],
)
def test_no_value_of_a_row_is_printed_as_it_is(folder, train, fields, value):
    assert_harmless(refused(Jsonl, train, {"id": "r"} | ROW | fields(value)))


@pytest.mark.parametrize("name", [HOSTILE, HUGE[:5000]], ids=["escape sequences", "long"])
def test_no_name_of_a_broken_picture_is_printed_as_it_is(folder, train, name):
    if len(name) < 100:
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert_harmless(refused(Jsonl, train, ROW | {"images": [f"{name}.png"]}))


def test_an_id_of_ten_megabytes_is_refused(train):
    text = refused(Jsonl, train, ROW | {"id": HUGE * 100})
    assert "10,000,000 characters; write at most 1,000" in text
    assert_harmless(text)


def test_a_row_that_is_left_out_is_shown_harmlessly():
    assert_harmless(str(Skipped("rows.jsonl", 1, HOSTILE, "is bad")))
    assert_harmless(str(Skipped("rows.jsonl", 1, HUGE, "is bad")))


def test_admission_shows_ids_harmlessly(renderer, train, tmp_path):
    rows = [ROW | {"id": f"{HOSTILE}{number}", "question": "How many? " * 2000} for number in range(4)]
    with pytest.raises(RefusedError, match="4 rows are refused") as caught:
        admitted(renderer, tmp_path, train=Jsonl(written(train, *rows)))
    assert_harmless(str(caught.value).replace("(max_pixels)", ""))


def test_a_reward_that_fails_shows_the_row_harmlessly(problem, groups_of, monkeypatch):
    from dataclasses import replace

    [group] = groups_of([("What?", [], [3])])
    group = replace(group, prompt=replace(group.prompt, problem=problem(id=HOSTILE)))
    score = Score(Verdict.WRONG, "", None, False)

    def fail(*_):
        raise ValueError(HOSTILE)

    monkeypatch.setattr(Format, "__call__", fail)
    with pytest.raises(RuntimeError, match="step 3") as caught:
        Format().of_all([group], [[score]], 3)
    assert_harmless(str(caught.value))


def test_the_terminal_gets_no_escape_sequence_of_rows_to_score(tmp_path, capfd, in_the_repository):
    from observer.cli import main

    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(scored_row(7, id=HOSTILE) | {"lengths": HOSTILE}) + "\n")
    words = [
        "score",
        "--config",
        "configs/quickstart.yaml",
        "--input",
        str(file),
        "--output",
        str(tmp_path / "s"),
    ]
    assert main(words) == 2
    assert_harmless(capfd.readouterr().err)


def test_messages_of_libraries_are_printed_harmlessly_too(capsys):
    from observer.cli import main

    assert main(["score", "--config", f"{HOSTILE}.yaml", "--input", "a", "--output", "b"]) == 2
    assert_harmless(capsys.readouterr().err)
