"""Rows of other projects, in the schemas that they publish, become the problems that they mean."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from documented import parsed
from observer.cli import main
from observer.data import ColumnMap, Columns
from observer.data.columns.mapping import ABOUT, about, preset, presets
from observer.types import RefusedError, Turn
from published import SCHEMAS, in_folder, pictures, png, published, written_as

LETTER = {"we_math", "scemqa", "mathv360k", "math_verse", "mmmu", "mm_bench", "mm_star"}


def test_every_preset_has_rows_of_its_schema():
    assert presets().keys() == SCHEMAS.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_rows_of_a_published_schema_become_what_they_mean(tmp_path, name):
    rows = published(tmp_path, name).read()
    assert len(rows) == 9
    for number, problem in enumerate(sorted(rows, key=lambda row: row.metadata.get("subject") == "Physics")):
        n = [0, 2, 4, 6, 8, 1, 3, 5, 7][number] if name == "scemqa" else number
        assert problem.pictures[0].load().size == (12, 8)
        assert len(problem.pictures) == (2 if name == "ms_swift" else 1)
        assert all("<think>" not in turn.text.casefold() for turn in problem.turns)
        if name == "polymath":
            assert (problem.answer, problem.kind) == (str(n % 4 + 1), "integer")
            continue
        assert f"{n} + 1" in problem.question
        if name in LETTER or (name == "math_vision" and n % 2):
            assert (problem.answer, problem.kind) == ("B", "choice")
            assert problem.options[1].strip("$") == str(n + 1)
            assert "B" in problem.question
        else:
            assert problem.answer.strip("$") == str(n + 1)
            assert problem.kind == ("choice" if name == "math_vista" and n % 2 else "integer")


def test_what_is_read_of_each_schema_word_by_word(tmp_path):
    asked = {name: published(tmp_path, name).read()[1] for name in SCHEMAS}
    assert asked["easy_r1"].turns == (Turn("user", "<image>What is 1 + 1?"),)
    assert asked["verl"].turns == (Turn("user", "<image>What is 1 + 1?"),)
    assert asked["verl"].metadata == {"source": "sums", "split": "train", "index": 1, "ability": "math"}
    assert asked["trl"].turns == (Turn("user", "<image>What is 1 + 1?"),)
    assert asked["mm_eureka"].turns == (Turn("user", "<image>What is 1 + 1?"),)
    assert asked["ms_swift"].turns == (Turn("user", "<image><image>What is 1 + 1?"),)
    assert asked["math_vision"].question == "What is 1 + 1?\n<image>\n(A) $1$\n(B) $2$\n(C) 3\n(D) 4\n(E) 5"
    assert (asked["math_vision"].level, asked["math_vision"].id) == (2, "1")
    assert asked["we_math"].question == (
        "<image>In the diagram, 1 + 1 is ( ) m\n(A) 1\n(B) 2\n(C) 3000, 4000\n(D) No correct answer"
    )
    assert asked["scemqa"].metadata == {"subject": "Math"}
    assert asked["mathv360k"].question == "<image>\nWhat is 1 + 1?\nChoices:\n(A) 1\n(B) 2"
    assert asked["mathv360k"].metadata == {"name": "identity_1"}
    assert asked["mathv360k"].id == "mathv360k.json:2"


def test_every_preset_says_what_it_is_and_where_its_schema_was_published(capsys):
    for name in presets():
        assert about(name).keys() == set(ABOUT)
        assert "https://" in about(name)["source"]
    assert main(["list", "presets"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("licence: ") == printed.count("# preset: ") == len(presets())


def test_a_preset_that_is_printed_can_be_copied_and_changed(tmp_path):
    assert ColumnMap(answer="gold").over(preset("verl")) != preset("verl")
    assert ColumnMap(answer="gold").over(preset("verl")).chat == preset("verl").chat
    rows = published(
        tmp_path, "easy_r1", columns=ColumnMap(id="id", metadata={"truth": "ground_truth"})
    ).read()
    assert (rows[3].id, rows[3].metadata) == ("3", {"truth": "B"})


def test_a_mapping_of_ones_own_reads_any_columns_and_the_rest_become_notes(tmp_path):
    records = [
        {
            "q": {"text": f"Name {n}", "figs": [png(n)]},
            "gold.value": 3 if n else None,
            "backup": "red",
            "wrong": n / 4,
            "topic": "colours",
            "score": float("nan"),
        }
        for n in range(3)
    ]
    path = written_as(tmp_path, "own", records, "parquet")
    mapping = ColumnMap(
        question="q.text", pictures="q.figs", answer=["gold.value", "backup"], difficulty="wrong"
    )
    rows = Columns(path, columns=mapping).read()
    assert [problem.answer for problem in rows] == ["red", "3", "3"]
    assert rows.difficulty.tolist() == [0, 0.25, 0.5]
    assert rows[1].metadata == {"topic": "colours"}
    assert rows[1].question == "<image>Name 1"
    assert rows[1].source == f"{path}:2"


def test_the_same_rows_are_read_from_every_kind_of_file(tmp_path):
    pictures(tmp_path)
    records = [in_folder(SCHEMAS["we_math"][0](n), tmp_path) for n in range(7)]
    path = {e: written_as(tmp_path, "we_math", records, e) for e in ("json", "jsonl", "parquet")}
    (tmp_path / "columns.json").write_text(json.dumps({key: [r[key] for r in records] for key in records[0]}))
    (tmp_path / "grouped.json").write_text(json.dumps({"one": records[:4], "two": records[4:]}))
    named = [*path.values(), *(str(tmp_path / f"{name}.json") for name in ("columns", "grouped"))]
    read = [[(p.turns, p.answer) for p in Columns(p, preset="we_math").read()] for p in named]
    assert len(read[0]) == 7
    assert all(rows == read[0] for rows in read)


def test_a_folder_of_shards_is_one_source_whose_rows_are_named_by_shard(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    records = [SCHEMAS["easy_r1"][0](n) for n in range(6)]
    records[4]["answer"] = None
    for shard in (0, 1):
        table = pa.Table.from_pylist(records[3 * shard : 3 * shard + 3])
        pq.write_table(table, folder / f"train-{shard}.parquet")
    rows = Columns(str(folder), preset="easy_r1", on_bad_row="skip").read()
    assert [problem.id for problem in rows] == [
        *(f"train-0.parquet:{n}" for n in (1, 2, 3)),
        *(f"train-1.parquet:{n}" for n in (1, 3)),
    ]
    assert rows[4].source == f"{folder}/train-1.parquet:3"
    (skipped,) = rows.skipped
    assert (skipped.file, skipped.line) == (f"{folder}/train-1.parquet", 2)
    with pytest.raises(
        RefusedError, match=r"train-1.parquet:2: row .*has no answer: columns.answer is answer"
    ):
        Columns(str(folder), preset="easy_r1").read()


def test_rows_of_the_hub_are_read_with_their_pictures(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    folder = tmp_path / "somebody" / "sums"  # ``datasets`` takes a folder of this name for the data set
    folder.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([SCHEMAS["easy_r1"][0](n) for n in range(4)]), folder / "train.parquet"
    )
    rows = Columns("hub:somebody/sums", preset="easy_r1").read()
    assert [problem.answer for problem in rows] == ["1", "2", "3", "4"]
    assert rows[2].id == "train:3"
    assert rows[2].source == "hub:somebody/sums/train:3"
    assert rows[2].pictures[0].load().getpixel((0, 0)) == (2, 0, 7)
    with pytest.raises(RefusedError, match=r"hub:somebody/sums/nonesuch .* cannot be loaded"):
        Columns("hub:somebody/sums", preset="easy_r1", split="nonesuch").read()


def test_a_mapping_is_read_from_the_command_line(in_the_repository, monkeypatch):
    words = ["fit", "--config", "configs/quickstart.yaml", "--data.val", "null", "--data.val_fraction", "0.2"]
    words += ["--data.train", "Columns", "--data.train.path", "rows.parquet", "--data.train.preset", "verl"]
    words += [
        "--data.train.columns.answer",
        "[gold, extra_info.answer]",
        "--data.train.columns.take",
        "[boxed]",
    ]
    data = parsed([*words, "--data.train.columns.metadata", "{topic: extra_info.topic}"], monkeypatch).data
    assert data.train.class_path == "observer.data.Columns"
    assert data.train.init_args.columns.answer == ["gold", "extra_info.answer"]
    assert data.train.init_args.columns.metadata == {"topic": "extra_info.topic"}
    assert (data.val, data.val_fraction) == (None, 0.2)


def test_the_list_of_row_formats_shows_it(capsys):
    assert main(["list", "rows"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Columns" in printed
    assert "preset: str | None = None" in printed
    assert "columns: ColumnMap = ColumnMap()" in printed
