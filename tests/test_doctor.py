"""``observer doctor``: what it finds is what a fit refuses, row by row; and what it says of the rest."""

import io
import json

import pytest

import ailing
from ailing import bad_rows, good_rows, row, write_pictures, write_rows
from observer.data import Jsonl, LadderDataModule, Tiles
from observer.data.options import LadderOptions
from observer.doctor import Examination, Findings
from observer.doctor.told import Told
from observer.rollout import PromptRenderer
from observer.types import RefusedError
from observer.verifier import Limits, Verifier

LIMIT = 96


@pytest.fixture(scope="module")
def renderer(processor):
    return PromptRenderer(processor, system_prompt="", max_tokens=LIMIT)


@pytest.fixture(scope="module")
def verifier():
    made = Verifier(Limits(workers=1, seconds=0.2))
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pictures")
    write_pictures(made)
    return made


@pytest.fixture
def examined(renderer, verifier):
    """Examine rows; returns the examination and what was written of them."""

    def examines(near=False, told=None, measured=True, **data):
        file = io.StringIO()
        options = LadderOptions(**{"prompts_per_step": 1, **data})
        found = Findings(file)
        made = Examination(options, renderer if measured else None, verifier, found, told)
        made.near = near
        made.run()
        return made, [json.loads(line) for line in file.getvalue().splitlines()]

    return examines


def ids(findings, *fates):
    return sorted(finding["id"] for finding in findings if finding["fate"] in fates)


def fitted(renderer, verifier, folder, **data):
    """The rows that a fit leaves out when it is told to skip bad ones, by file and line."""
    module = LadderDataModule(**{"prompts_per_step": 1, **data})
    module.setup("fit")
    module.admit(renderer, verifier, folder)
    return {(row.file, row.line) for rows in module.rows.values() for row in rows.skipped}


def test_each_bad_row_is_named_with_its_place_and_value_and_each_good_one_is_measured(examined, folder):
    bad = bad_rows()
    path = write_rows(folder / "rows.jsonl", [*good_rows(), *(record for record, _, _ in bad)])
    examination, findings = examined(train=Jsonl(str(path)))
    refused = [finding for finding in findings if finding["fate"] == "refused"]
    assert len(refused) == len(bad)
    by_line = {finding["line"]: finding for finding in refused}
    for line, (_, said, check) in enumerate(bad, start=len(good_rows()) + 1):
        assert said in by_line[line]["what"]
        assert by_line[line]["check"] == check
        assert by_line[line]["file"] == str(path)
    (split,) = examination.splits
    assert len(split.tokens) == len(good_rows()) + 1, "that with the formula is measured too"
    assert [finding["id"] for finding in findings if finding["check"] == "size"] == ["pixel.png"]
    assert len(split.rows) - len(split.bad) == len(good_rows())


@pytest.mark.whole
@pytest.mark.parametrize("check_images", ["decode", "header"])
def test_what_is_refused_is_what_a_fit_refuses_row_by_row(
    examined, renderer, verifier, folder, tmp_path, check_images
):
    bad = bad_rows()
    path = write_rows(folder / "mixed.jsonl", [*good_rows(), *(record for record, _, _ in bad)])
    options = {"check_images": check_images, "keep_checked": False}
    train = Jsonl(str(path), on_bad_row="skip", **options)
    held = Jsonl(str(write_rows(folder / "held.jsonl", [*good_rows(), bad[-1][0]])), **options)
    skipping = Jsonl(held.path, on_bad_row="skip", **options)
    _, findings = examined(train=train, val=skipping)
    left_out = [(row["file"], row["line"]) for row in findings if row["fate"] == "left out"]
    assert len(left_out) == len(bad) + 1 - (check_images == "header")
    assert {*left_out} == fitted(renderer, verifier, tmp_path, train=train, val=skipping)
    assert ids(findings, "refused") == []
    late = ids(findings, "interrupts")
    assert late == ([] if check_images == "decode" else ["cut.png"])
    _, findings = examined(train=train, val=held)
    assert ids(findings, "refused") == ["formula"]
    with pytest.raises(RefusedError, match=r"data.val: 1 rows are refused"):
        fitted(renderer, verifier, tmp_path, train=train, val=held)


@pytest.mark.parametrize(
    ("rows", "data", "said"),
    [
        ([row("one")], {"prompts_per_step": 2}, "data.train has 1 rows, fewer than prompts_per_step 2"),
        ([{"question": "?"}], {"skip": True}, "no good row"),
        ([row("long", question="How many? " * 60)], {"skip": True}, "all 1 rows were refused"),
        ([row("one")], {"val": [row("high", level=90)]}, "has level 90; held-out figures are broken down"),
        ([row("one"), row("two")], {"val_fraction": 0.5, "same": True}, "which holds out"),
        (None, {}, "cannot be read (No such file or directory)"),
    ],
)
def test_what_a_fit_refuses_of_a_source_as_a_whole(examined, renderer, verifier, tmp_path, rows, data, said):
    skip = "skip" if data.pop("skip", False) else "refuse"
    if data.pop("same", False):
        rows = [row(name, question="How many?", answer="7") for name in "ab"]
    path = tmp_path / "rows.jsonl"
    if rows is not None:
        write_rows(path, rows)
    if "val" in data:
        data["val"] = Jsonl(str(write_rows(tmp_path / "val.jsonl", data["val"])))
    train = Jsonl(str(path), on_bad_row=skip)
    _, findings = examined(train=train, **data)
    refused = [finding for finding in findings if finding["fate"] == "refused"]
    assert [(finding["check"], finding["line"]) for finding in refused] == [("source", 0)]
    assert said in refused[0]["what"]
    with pytest.raises(RefusedError, match=said.replace("(", r"\(").replace(")", r"\)")):
        fitted(renderer, verifier, tmp_path, train=train, **data)


def test_copies_are_named_with_the_row_that_they_are_copies_of(examined, folder):
    (folder / "again.webp").write_bytes(ailing.encoded(ailing.noise(1), "WEBP", lossless=True))
    rows = [
        row("first", "rgb.png", question="How many?", answer="1/2"),
        row("twin", "grey.png", question="How many?", answer="1/2"),
        row("copy", "again.webp", question="how many ?", answer="0.5"),
        row("other", "rgb.png", question="How many?", answer="7"),
        row("asked", "rgb.png", question="How few?", answer="1/2"),
        row("text", question="What is it?", answer="7"),
        row("text again", question="What  is it?", answer="7"),
    ]
    held = [
        row("seen", "again.webp", question="How large?", answer="8"),
        row("leaked", "rgb.png", question="How many?", answer="1/2"),
        row("told", question="What is it?", answer="7"),
        row("new", "deep.png", question="How many?", answer="8"),
    ]
    train = Jsonl(str(write_rows(folder / "train.jsonl", rows)))
    val = Jsonl(str(write_rows(folder / "val.jsonl", held)))
    _, findings = examined(train=train, val=val)
    said = {finding["id"]: (finding["check"], finding["what"]) for finding in findings}
    assert {name: check for name, (check, _) in said.items()} == {
        "copy": "duplicate",
        "other": "other gold",
        "text again": "duplicate",
        "seen": "leak",
        "leaked": "leak",
        "told": "leak",
    }
    assert f"row 'first' ({train.path}:1) once more" in said["copy"][1]
    assert "its answer is '7', and row 'first'" in said["other"][1]
    assert said["seen"][1].startswith("it shows a picture of data.train, that of row 'first'")
    assert said["leaked"][1].startswith("it is row 'first'")


def test_near_copies_are_named_too(examined, folder):
    smooth = ailing.noise(11, 8).resize((112, 112))
    (folder / "smooth.png").write_bytes(ailing.encoded(smooth))
    (folder / "smooth.jpg").write_bytes(ailing.encoded(smooth.resize((100, 100)), "JPEG", quality=85))
    asked = {"question": "How many?", "answer": "7"}
    (folder / "bad.jpg").write_bytes(b"")
    rows = [
        row("bad", "bad.jpg"),
        row("lengthy", question="How many? " * 60),
        row("first", "smooth.png", **asked),
    ]
    train = Jsonl(str(write_rows(folder / "near.jsonl", [*rows, row("near", "smooth.jpg", **asked)])))
    val = Jsonl(
        str(write_rows(folder / "near val.jsonl", [row("leak", "smooth.jpg", **asked | {"answer": "8"})]))
    )
    examination, findings = examined(near=True, train=train, val=val)
    noted = [finding for finding in findings if finding["fate"] == "noted"]
    assert [(finding["id"], finding["check"]) for finding in noted] == [
        ("leak", "leak"),
        ("near", "duplicate"),
    ]
    assert examination.splits[0].pages[-1][0] == 2, "the page shows the row, whatever was left out before it"


def test_rows_of_a_program_are_vouched_for_by_some(examined):
    examination, findings = examined(train=Tiles(rows=64), val=Tiles(rows=16, split="val"))
    assert findings == []
    assert [len(split.measured) for split in examination.splits] == [8, 8]
    assert [sum(map(len, split.answers.values())) for split in examination.splits] == [64, 16]


def test_an_interrupt_keeps_what_was_found_by_then(examined, folder):
    class Pressed(Told):
        def advance(self, count=1, doing=None):
            super().advance(count, doing)
            if "decoding" in self.doing:
                raise KeyboardInterrupt

    path = write_rows(folder / "many.jsonl", [row("unanswered", answer=""), *good_rows()])
    examination, findings = examined(train=Jsonl(str(path)), told=Pressed())
    assert examination.stopped == "decoding pictures"
    assert [finding["id"] for finding in findings] == ["unanswered"]
    assert examination.splits == []
