"""``observer ladder export``: other trainers, and our presets of their names, read a ladder's rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import laddered
from kept_rows import plain
from laddered import Silent, recipe
from observer.cli import main
from observer.data import Columns, Ladder
from observer.ladder import Verifiable, build
from observer.ladder.output import other_trainers
from other_loaders import digest, hidden

TRAINERS = ("trl", "verl", "easy_r1", "ms_swift")


def ladder_of(folder, count, *steps, **fields):
    source = laddered.rows(folder / "rows", count, **fields)
    build(recipe(source, *(steps or [Verifiable()])), folder / "ladder", shown=Silent())
    return folder / "ladder"


def asked(row):
    return ("Which is larger, <image> or <image>?", "<image>\nHow many?", "How much is 3 + 4?")[row % 3]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Rows with two pictures among words, with one, and a text alone; tests do not change it."""
    folder = tmp_path_factory.mktemp("ladder")
    images = lambda row: [f"{row}.png", "0.png", ""][: 2 - row % 3]  # noqa: E731
    return ladder_of(folder, 6, question=asked, images=images, answer=lambda row: rf"\frac{{{row}}}{{7}}")


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    """Rows with a system prompt."""
    return ladder_of(tmp_path_factory.mktemp("chats"), 2, system=lambda row: "Be brief.")


def exported(ladder, trainer, folder):
    file = folder / f"rows.{'jsonl' if trainer == 'ms_swift' else 'parquet'}"
    code = main(["ladder", "export", "--output", str(ladder), "--to", trainer, "--file", str(file)])
    return file, code


def meaning(rows):
    """What has to be the same: turns but the system's, which the presets leave out, answer and pictures."""
    return [
        (
            [turn for turn in row["turns"] if turn.role != "system"],
            row["answer"],
            [picture[1:] for picture in row["pictures"]],
        )
        for row in plain(rows)
    ]


def original(ladder):
    return Ladder(str(ladder), keep_checked=False).read()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_preset_of_a_trainer_reads_back_the_rows_in_their_order(trainer, built, tmp_path, capsys):
    file, code = exported(built, trainer, tmp_path)
    assert code == 0
    assert capsys.readouterr().out == f"{file}: 6 rows in the schema of {trainer}\n"
    rows = Columns(str(file), preset=trainer, images=str(built), keep_checked=False).read()
    assert meaning(rows) == meaning(original(built))
    assert [len(row.pictures) for row in rows] == [2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("trainer", ["trl", "verl", "ms_swift"])
def test_a_system_prompt_is_kept(trainer, chats, tmp_path):
    file, _ = exported(chats, trainer, tmp_path)
    lines = file.read_text().splitlines() if trainer == "ms_swift" else []
    rows = [json.loads(line) for line in lines] or pq.read_table(file).to_pylist()
    turns = rows[0]["messages" if trainer == "ms_swift" else "prompt"]
    assert turns[0]["content"] in ("Be brief.", [{"type": "text", "text": "Be brief."}])
    keep = Columns(str(file), preset=trainer, images=str(chats), keep_checked=False).read()
    assert meaning(keep) == meaning(original(chats))


def test_a_file_holds_few_rows_at_a_time_and_says_of_each_column_how_it_is_opened(
    built, tmp_path, monkeypatch
):
    monkeypatch.setattr(other_trainers, "BLOCK", 4)
    file, _ = exported(built, "trl", tmp_path)
    read = pq.ParquetFile(file)
    assert [read.metadata.row_group(n).num_rows for n in range(read.num_row_groups)] == [4, 2]
    told = json.loads(read.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert list(told) == read.schema_arrow.names
    assert told["images"] == [{"_type": "Image"}]
    assert told["prompt"][0]["content"] == [
        {key: {"_type": "Value", "dtype": "string"} for key in ("type", "text")}
    ]


def test_what_was_not_measured_is_not_made_up(built, tmp_path):
    file, _ = exported(built, "verl", tmp_path)
    extra = pq.read_table(file).column("extra_info").to_pylist()
    assert [row["index"] for row in extra] == list(range(6))
    assert {(row["difficulty"], row["level"]) for row in extra} == {(None, None)}


@pytest.mark.parametrize(
    ("trainer", "field", "value", "expected"),
    [
        ("ms_swift", "answer", r"\boxed{3}", "would be read as"),
        ("trl", "answer", "<answer>3</answer>", "would be read as"),
        ("verl", "question", "What follows <video>?", "its text holds <video>"),
        ("easy_r1", "system", "Be brief.", "it has the turns system, user, and a row there is one question"),
    ],
)
def test_a_row_that_would_be_another_one_is_refused_by_name(
    trainer, field, value, expected, tmp_path, capsys
):
    ladder = ladder_of(tmp_path, 2, **{field: lambda row: value})
    capsys.readouterr()
    file, code = exported(ladder, trainer, tmp_path)
    told = capsys.readouterr().err
    assert code == 2
    assert f"row 'r0' cannot be written --to {trainer}: " in told
    assert expected in told
    assert not file.exists()
    assert not list(tmp_path.glob("rows.*"))


def test_a_file_that_is_there_and_a_ladder_that_was_edited_are_refused(chats, tmp_path, capsys):
    (tmp_path / "rows.parquet").write_text("mine")
    file, code = exported(chats, "trl", tmp_path)
    assert code == 2
    assert "--file" in (told := capsys.readouterr().err)
    assert "exists; name a file that does not" in told
    assert file.read_text() == "mine"
    assert main(["ladder", "export", "--output", str(tmp_path), "--to", "trl"]) == 2
    assert "holds no ladder" in capsys.readouterr().err


# Each in a process of its own.


@pytest.mark.peers
@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_own_loader_of_a_trainer_reads_the_rows(trainer, built, tmp_path):
    if hidden(trainer):
        pytest.skip("verl and EasyR1 have one package's name: tox.ini says how the other is tested")
    file, _ = exported(built, trainer, tmp_path)
    script, found = Path(__file__).parent / "helpers" / "other_loaders.py", tmp_path / "found.json"
    folders = {name: str(tmp_path / name) for name in ("HF_HOME", "MODELSCOPE_CACHE")}
    done = subprocess.run(
        [sys.executable, str(script), trainer, str(file), str(found)],
        env={**os.environ, **folders, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout.splitlines()[-1])
    assert json.loads(found.read_text()) == [
        [
            [[turn.role, turn.text] for turn in problem.turns],
            problem.answer,
            [digest(picture.load()) for picture in problem.pictures],
        ]
        for problem in original(built)
    ]
