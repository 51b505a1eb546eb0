"""A build with a scripted model: what it writes, equal builds, parts, what goes on and what is refused."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

import laddered
from laddered import Silent, files, lines, measure, recipe
from observer.data import Message
from observer.ladder import LowComplexity, Mix, Review, Sample, SimpleQuestions, Sort, Verifiable, build
from observer.ladder.building import merge
from observer.ladder.chunks import ChunkFolder, Part
from observer.run.locks import only_one
from observer.types import RefusedError


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(tmp_path_factory.mktemp("rows"), 10)


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """An unbroken build; tests do not change it."""
    folder = tmp_path_factory.mktemp("built")
    build(recipe(source), folder, shown=Silent())
    return folder


def test_a_ladder_is_rows_to_train_on_with_what_was_measured(built, source):
    found = Message(str(built / "ladder.jsonl"), keep_checked=False).read()
    assert len(found) == 10
    assert {problem.difficulty for problem in found} == {0.5}, "of four responses two are right"
    first, original = found[0], source.read()[0]
    assert (first.id, first.question, first.answer) == (original.id, original.question, original.answer)
    assert first.pictures[0].load().tobytes() == original.pictures[0].load().tobytes()
    columns = pq.read_table(built / "ladder.parquet")
    assert columns["correct"].to_pylist() == [2] * 10
    assert columns["other_answer"].to_pylist() == ["99"] * 10
    low, high = columns["difficulty_low"][0].as_py(), columns["difficulty_high"][0].as_py()
    assert 0.1 < low < 0.5 < high < 0.9
    provenance = json.loads(columns.schema.metadata[b"observer.provenance"])
    assert provenance["models"]["Measure"][0]["engine"]["class"] == "ScriptedEngine"


def test_the_control_has_as_many_rows_and_the_card_says_how_many_went(built):
    control = Message(str(built / "control.jsonl"), keep_checked=False).read()
    assert sorted(problem.id for problem in control) == sorted(f"r{row}" for row in range(10))
    assert "| Measure | 10 | 10 | 0 |" in (built / "card.md").read_text()
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["levels"] == {"4": 10}
    assert str(built) not in (built / "manifest.json").read_text()


def test_an_equal_build_is_equal_files_and_parts_make_them_too(source, built, tmp_path):
    for part in ("2/2", "1/2"):
        shown = Silent()
        assert build(recipe(source), tmp_path / "parts", Part.read(part), shown) == {}
        assert not (tmp_path / "parts" / "ladder.jsonl").exists()
    merge(recipe(source), tmp_path / "whole", [tmp_path / "parts"], Silent())
    assert files(tmp_path / "whole") == files(built)


def test_what_is_finished_is_not_done_again(source, built, tmp_path):
    build(recipe(source), tmp_path, shown=Silent())
    chunk = tmp_path / "work" / "Measure" / "000001.arrow"
    others = {path: path.stat().st_mtime_ns for path in chunk.parent.glob("*.arrow") if path != chunk}
    chunk.unlink()
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "pictures" / "00").mkdir(exist_ok=True)
    (tmp_path / "pictures" / "00" / f"{'0' * 32}.png").write_bytes(b"of another build")
    build(recipe(source), tmp_path, shown=Silent())
    assert files(tmp_path) == files(built)
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_steps_that_only_select_are_changed_without_measuring_again(source, tmp_path):
    build(recipe(source), tmp_path, shown=Silent())
    shown = Silent()
    steps = (Verifiable(), measure(), Sort(), Sample(size=4), Mix(shares="ladder"))
    manifest = build(recipe(source, *steps), tmp_path, shown=shown)
    assert "Measure: 3 of 3 chunks are finished already" in shown.lines
    assert manifest["rows"] == len(lines(tmp_path / "ladder.jsonl")) == 4
    assert {line["metadata"]["slot"] for line in lines(tmp_path / "ladder.jsonl")} == {4}
    assert [line["step"] for line in lines(tmp_path / "removed.jsonl")] == ["Sample"] * 6


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"limit": 9}, "rows was 10 and is 9"),
        ({"steps": (Verifiable(), measure(responses=5), Sort())}, "responses was 4 and is 5"),
        ({"chunk_rows": 5}, "chunk_rows was 4 and is 5"),
    ],
)
def test_chunks_of_something_else_are_refused_with_what_differs(changed, told, source, built):
    with pytest.raises(RefusedError, match=f"{told}.*remove the folder"):
        build(replace(recipe(source), **changed), built, shown=Silent())


def test_a_folder_without_a_chunk_binds_nobody(tmp_path):
    folder = ChunkFolder(tmp_path / "Measure", 8, 4)
    folder.claim({"seed": 0})
    folder.claim({"seed": 1})
    folder.file(0).touch()
    with pytest.raises(RefusedError, match="seed was 1 and is 2"):
        folder.claim({"seed": 2})


def test_a_merge_names_the_parts_that_are_missing(source, tmp_path):
    build(recipe(source), tmp_path, Part.read("1/3"), Silent())
    with pytest.raises(RefusedError, match=r"Measure: 2 of 3 chunks are missing.*not there: 2/3, 3/3"):
        merge(recipe(source), tmp_path, [], Silent())


def test_a_second_builder_is_kept_out(source, tmp_path):
    with (
        only_one(tmp_path / "work", tmp_path, "built"),
        pytest.raises(RefusedError, match=r"built by another process \(.*work\)"),
    ):
        build(recipe(source), tmp_path, shown=Silent())


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([Sort()], r"Sort \(step 1\) needs the column difficulty.*add Measure"),
        ([Mix(), measure()], r"Mix \(step 1\) needs the column difficulty.*put it after Measure"),
        ([measure(), measure()], r"Measure \(step 2\) measures responses, which Measure has measured"),
        ([], "steps is empty"),
    ],
)
def test_steps_in_an_order_that_cannot_be_are_refused(steps, told, source):
    with pytest.raises(RefusedError, match=told):
        laddered.Recipe(source, steps, laddered.MODEL)


def test_a_step_that_leaves_no_row_is_named_with_a_reason(source, tmp_path):
    steps = (measure(), Review(unreviewed="drop"), Sort())
    wrong = replace(laddered.MODEL, engine=laddered.ScriptedEngine(["no"]))
    with pytest.raises(RefusedError, match=r"Review \(step 2\) has left none of 10 rows; row 'r0': has diff"):
        build(recipe(source, *steps, model=wrong), tmp_path, shown=Silent())
    assert not (tmp_path / "removed.jsonl").exists()


def test_rows_that_a_step_removes_are_not_measured_by_the_next(source, tmp_path):
    right = replace(laddered.MODEL, engine=laddered.ScriptedEngine([laddered.runs.RIGHT]))
    simple = SimpleQuestions(response_format=laddered.PLAIN, max_tokens=64, models=(right,))
    steps = (Verifiable(), replace(simple, responses=8), measure(), LowComplexity())
    with pytest.raises(RefusedError, match=r"SimpleQuestions \(step 2\).*8 of 8 answers without reasoning"):
        build(recipe(source, *steps), tmp_path, shown=Silent())
    import pyarrow as pa

    with pa.memory_map(str(tmp_path / "work" / "Measure" / "000000.arrow")) as mapped:
        assert len(pa.ipc.open_file(mapped).read_all()) == 0


def test_a_row_whose_prompt_is_too_long_goes_and_is_named(tmp_path):
    long = laddered.rows(tmp_path, 6, question=lambda row: "many " * (300 if row == 2 else 1))
    build(recipe(long), tmp_path / "out", shown=Silent())
    [line] = lines(tmp_path / "out" / "removed.jsonl")
    assert (line["id"], line["step"]) == ("r2", "Measure")
    assert "cannot be asked" in line["reason"]
    assert "r2" not in {line["id"] for line in lines(tmp_path / "out" / "control.jsonl")}


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/x", ""])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(RefusedError, match="--part is"):
        Part.read(text)
