"""``Ladder``: the rows that a build has written, and what was damaged or edited since."""

import json
import shutil

import pytest
from PIL import Image

import laddered
from kept_rows import plain
from laddered import Silent, recipe
from observer.data import Ladder, Message
from observer.data.formats.ladder import refuse_changed
from observer.ladder import Mix, Sort, Verifiable, build
from observer.types import RefusedError


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Rows with a system prompt, options, a text alone, and sources; tests do not change it."""
    folder = tmp_path_factory.mktemp("ladder")
    source = laddered.rows(
        folder / "rows",
        9,
        system=lambda row: "Be brief." if row % 2 else "",
        options=lambda row: [] if row % 3 else ["one", "two", "three"],
        answer=lambda row: str(row) if row % 3 else "B",
        source=lambda row: f"file {row % 2}",
    )
    steps = (Verifiable(), laddered.measure(responses=3), Sort(), Mix(shares="ladder"))
    build(recipe(source, *steps), folder / "ladder", shown=Silent())
    return folder / "ladder"


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "moved")


def same_rows(rows, others):
    """Whether all of every row is equal, but where it stands; difficulties are written with six digits."""
    for one, other in zip(plain(rows), plain(others), strict=True):
        difficulty, given = one.pop("difficulty"), other.pop("difficulty")
        complexity, its = one.pop("complexity"), other.pop("complexity")
        assert one | {"source": ""} == other | {"source": ""}
        assert (difficulty, complexity) == (pytest.approx(given, abs=1e-6), pytest.approx(its, abs=1e-6))
    assert rows.fingerprints().tolist() == others.fingerprints().tolist()


def opened(path, **options):
    return Ladder(str(path), keep_checked=False, **options).read()


def test_a_ladder_has_the_rows_that_message_reads_from_its_lines(built):
    rows = opened(built)
    same_rows(rows, Message(str(built / "ladder.jsonl"), keep_checked=False).read())
    same_rows(rows, opened(built / "ladder.parquet"))
    same_rows(rows, opened(built / "ladder.jsonl"))
    assert [problem.metadata["slot"] for problem in rows] == sorted(p.metadata["slot"] for p in rows)
    assert {problem.source.rpartition("/")[2] for problem in rows} >= {"ladder.parquet:1", "ladder.parquet:9"}
    assert set(rows.index().sources) == {"file 0", "file 1"}


def test_a_ladder_that_was_moved_is_the_same_and_the_control_is_checked_too(copy, built):
    same_rows(opened(copy), opened(built))
    lines = (copy / "control.jsonl").read_text()
    assert len(opened(copy / "control.jsonl")) == 9
    (copy / "control.jsonl").write_text(lines.replace("How many", "How few"))
    with pytest.raises(RefusedError, match=r"control\.jsonl is not the file that manifest\.json names"):
        opened(copy / "control.jsonl")


def damaged(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def edited(path):
    path.write_text(path.read_text().replace("How many", "How few"))


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("ladder.parquet", damaged, r"ladder\.parquet is not the file.*build the ladder again"),
        (
            "ladder.jsonl",
            edited,
            r"ladder\.jsonl is not the file.*or train on ladder\.jsonl as it is with Mes",
        ),
        ("manifest.json", damaged, r"manifest\.json cannot be read.*build the ladder again"),
        ("manifest.json", lambda path: path.write_text("[]"), "is no manifest of a ladder"),
        ("manifest.json", lambda path: path.unlink(), r"holds no ladder \(its build is not finished\)"),
        ("ladder.parquet", lambda path: path.unlink(), r"ladder\.parquet cannot be read \(No such file"),
    ],
)
def test_what_was_damaged_or_edited_is_refused_by_name_with_the_mend(name, change, told, copy):
    change(copy / name)
    with pytest.raises(RefusedError, match=told):
        opened(copy)


def test_a_picture_that_shows_something_else_is_refused(copy):
    picture = next((copy / "pictures").rglob("*.png"))
    Image.new("RGB", (28, 28), "white").save(picture)
    with pytest.raises(RefusedError, match=f"{picture.name} shows something else"):
        opened(copy)
    assert len(opened(copy, check_images="header")) == 9
    damaged(picture)
    with pytest.raises(RefusedError, match=picture.name):
        opened(copy)


def test_files_that_no_build_wrote_are_refused(copy):
    (copy / "mine.parquet").write_bytes((copy / "ladder.parquet").read_bytes())
    with pytest.raises(RefusedError, match=r"mine\.parquet is not in manifest\.json.*observer ladder build"):
        opened(copy / "mine.parquet")
    with pytest.raises(RefusedError, match=r"learned\.parquet is not in.*observer ladder learned"):
        opened(copy, learned=True)
    with pytest.raises(RefusedError, match="learned is true, and path is"):
        Ladder(str(copy / "ladder.parquet"), learned=True)


def test_the_rows_may_lie_in_the_parquet_file_alone(copy):
    (copy / "ladder.jsonl").unlink()
    assert len(opened(copy)) == 9
    assert refuse_changed(copy / "ladder.parquet") == json.loads((copy / "manifest.json").read_text())
