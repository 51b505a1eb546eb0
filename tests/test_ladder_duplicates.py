"""Copies and rows of benchmarks leave a ladder, each with the row that it is of."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from PIL import Image

from laddered import Silent, lines, table
from observer.data import Jsonl
from observer.data.duplicates import SIGNATURE, sign
from observer.ladder import Decontaminate, Duplicates, Recipe, build
from observer.ladder.chunks import Part
from observer.types import RefusedError
from planted import COPIES, coded, made, scaled


def written(folder, problems, **pictures):
    """A JSONL file of problems; ``name=way`` copies the pictures of a row as ``planted`` does."""
    folder.mkdir()
    with (folder / "rows.jsonl").open("w") as file:
        for name, problem in problems.items():
            images = []
            for number, picture in enumerate(problem.pictures):
                way = pictures.get(name, COPIES["exact"])
                way(picture.load()).save(folder / f"{name}-{number}.png")
                images.append(f"{name}-{number}.png")
            row = {"id": name, "question": problem.question, "answer": problem.answer, "images": images}
            file.write(json.dumps(row) + "\n")
    return Jsonl(str(folder / "rows.jsonl"), keep_checked=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Six rows: a copy, a leak, a twin, another gold answer."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = {"one": made(2), "copy": made(2), "twin": made(2, twin=True), "leak": made(0), "text": made(4)}
    wrong = made(4)
    rows["wrong"] = type(wrong)(**{**vars(wrong), "answer": "7"})
    source = written(folder / "rows", rows, copy=lambda picture: coded(scaled(picture, 0.75), "JPEG", 75))
    benchmark = written(folder / "benchmark", {"b0": made(7), "b1": made(0)}, b1=COPIES["webp 75"])
    return Recipe(source, (Duplicates(), Decontaminate((benchmark,))), chunk_rows=4)


def test_each_row_that_goes_is_named_with_the_row_it_is_of(recipe, tmp_path):
    build(recipe, tmp_path / "ladder", shown=Silent())
    assert [row["id"] for row in lines(tmp_path / "ladder" / "ladder.jsonl")] == [
        "one",
        "twin",
        "text",
        "wrong",
    ]
    gone = lines(tmp_path / "ladder" / "removed.jsonl")
    assert [(line["id"], line["step"]) for line in gone] == [
        ("copy", "Duplicates"),
        ("leak", "Decontaminate"),
    ]
    assert gone[0]["reason"] == "shows, asks and answers the same as row 'one'"
    assert gone[1]["reason"] == "shows and asks the same as row 'b1' of benchmark/rows.jsonl:2"
    reviewed = [line for line in lines(tmp_path / "ladder" / "review.jsonl") if line["step"] == "Duplicates"]
    assert [line["id"] for line in reviewed] == ["wrong"]
    assert "shows and asks the same as row 'text', and answers another" in json.dumps(reviewed)
    manifest = json.loads((tmp_path / "ladder" / "manifest.json").read_text())
    [stated] = manifest["recipe"][1]["against"]  # by its content, wherever it lies
    assert (stated["path"]["name"], "digest" in stated["path"]) == ("rows.jsonl", True)
    assert "files" not in stated  # the path is all of them
    written = "".join(path.read_text() for path in (tmp_path / "ladder").glob("*.json*"))
    assert "signature" not in written
    assert str(tmp_path.parent) not in written


def test_rows_that_were_not_all_compared_are_named_for_review(tmp_path, monkeypatch):
    monkeypatch.setattr("observer.data.duplicates.nominate.MOST_NEIGHBOURS", 2)
    rows = {f"w{number}": replace(made(2), answer=f"{number}") for number in range(6)}
    pictures = {name: lambda picture: Image.new("RGB", (60, 60), "white") for name in rows}
    source = written(tmp_path / "rows", rows, **pictures)
    benchmark = written(tmp_path / "benchmark", {"b": replace(made(2), answer="-1")}, b=pictures["w0"])
    build(Recipe(source, (Duplicates(),)), tmp_path / "ladder", shown=Silent())
    reviewed = [line for line in lines(tmp_path / "ladder" / "review.jsonl")]
    assert any("was not compared with row 'w" in json.dumps(line) for line in reviewed)
    found = Decontaminate((benchmark,))
    signatures = [sign(problem).tobytes() for problem in source.read()]
    rows_left = table(tmp_path, source, signature=pa.array(signatures, pa.binary(SIGNATURE.itemsize)))
    assert len(found.select(rows_left).rows_N) == 0, "equal pictures and questions are found without a limit"


def test_parts_measure_the_same_signatures(recipe, tmp_path):
    steps = (recipe.steps[0],)
    one, other = tmp_path / "one", tmp_path / "other"
    alone = Recipe(recipe.rows, steps, chunk_rows=2)
    build(alone, one, shown=Silent())
    for part in ("2/2", "1/2"):
        build(alone, other, Part.read(part), Silent())
    build(alone, other, shown=Silent())
    assert (one / "ladder.jsonl").read_bytes() == (other / "ladder.jsonl").read_bytes()
    assert (one / "removed.jsonl").read_bytes() == (other / "removed.jsonl").read_bytes()


def test_what_lacks_signatures_or_benchmarks_is_refused(recipe):
    with pytest.raises(RefusedError, match=r"needs the column signature, .* add Duplicates before it"):
        Recipe(recipe.rows, recipe.steps[1:])
    with pytest.raises(RefusedError, match=r"Decontaminate\.against is"):
        Decontaminate(())
