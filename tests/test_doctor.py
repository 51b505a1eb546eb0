"""``observer doctor``: what it finds is what a fit refuses, row by row; and what it says of the rest."""

import inspect
import io
import json

import pytest

import ailing
from ailing import bad_rows, good_rows, row, slow_row, write_pictures, write_rows
from observer.cli import main
from observer.cli.doctor.command import OTHER_SECTIONS
from observer.cli.doctor.options import OPTIONS, AdmissionOptions
from observer.cli.run import RunCLI
from observer.data import Jsonl, LadderDataModule, Tiles
from observer.data.options import LadderOptions
from observer.doctor import Examination, Findings
from observer.doctor.told import Told
from observer.learner import ObserveLearner
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
    assert len(split.tokens) == len(good_rows())
    assert [finding["id"] for finding in findings if finding["check"] == "size"] == ["pixel.png"]
    assert len(split.rows) - len(split.bad) == len(good_rows())


@pytest.mark.whole
@pytest.mark.parametrize("check_images", ["decode", "header"])
def test_what_is_refused_is_what_a_fit_refuses_row_by_row(
    examined, renderer, verifier, folder, tmp_path, check_images
):
    bad = [*bad_rows(), slow_row()]
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


QUICK = ["doctor", "--model.policy.path", "observer:tiles", "--model.response_format.system_prompt", ""]


@pytest.mark.usefixtures("in_the_repository")
def test_the_command_takes_a_fits_configuration_and_options_and_ends_with_0_where_it_would_train(
    tmp_path, capsys
):
    words = ["doctor", "--config", "configs/quickstart.yaml", "--output", str(tmp_path / "out")]
    words += ["--data.train.rows", "64", "--data.val.rows", "16", "--data.test", "null"]
    assert main([*words, "--model.group_size=4", "--trainer.max_steps", "3", "--run_dir", "runs/x"]) == 0
    printed = capsys.readouterr().out
    assert "data.train: 8 rows stand for all 64" in printed
    assert "tokens of a prompt (at most 64)" in printed
    assert printed.endswith(f"{tmp_path}/out/findings.jsonl\n{tmp_path}/out/rows.html\n")
    assert (tmp_path / "out" / "findings.jsonl").read_text() == ""
    page = (tmp_path / "out" / "rows.html").read_text()
    assert page.count("<article") == 50
    assert "&lt;|vision_start|&gt;&lt;|image_pad|&gt;&lt;|vision_end|&gt;What is the sum" in page
    assert main([*words, "--model.max_prompt_tokens", "20"]) == 1
    assert "its prompt has 29 tokens, more than max_prompt_tokens 20" in capsys.readouterr().out


def test_the_command_names_what_is_to_be_mended_and_ends_with_1(folder, tmp_path, capsys):
    harm = "<script>alert(1)</script> [bold]\x1b[31m"
    rows = [*good_rows(), row("one", "cut.png"), row(harm, "rgb.png", question=harm), "{"]
    path = write_rows(folder / "command.jsonl", rows)
    assert (
        main([*QUICK, "--data.train", "Jsonl", "--data.train.path", str(path), "--output", str(tmp_path)])
        == 1
    )
    printed = capsys.readouterr().out
    assert f"data.train: {path}:10: row 'one': picture {folder}/cut.png is broken" in printed
    assert f"data.train: {path}:12: row 'command.jsonl:12': is no JSON" in printed
    assert "\x1b" not in printed
    page = (tmp_path / "rows.html").read_text()
    assert page.count("<article") == len(good_rows()) + 1
    assert "<script>alert" not in page
    assert "28 x 28" in page, "the picture of one pixel, as the model sees it"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "data.train is not set"),
        (["--data.train", "Tiles", "--model.max_prompt_tokens", "0"], "model.max_prompt_tokens is 0"),
        (["--data.train", "Tiles", "--model.grou_size", "4"], "grou_size"),
        (["--data.train", "Tiles", "--output", "/etc/passwd/x"], "--output /etc/passwd/x cannot be written"),
        (["--data.train", "Tiles", "--model.policy.path", "nowhere/at/all"], "model.policy.path is 'nowhere"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(words, said, capsys, tmp_path):
    output = [] if "--output" in words else ["--output", str(tmp_path / "out")]
    assert main(["doctor", *words, *output]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_alone_are_read_without_a_model(folder, tmp_path, capsys):
    path = write_rows(folder / "alone.jsonl", good_rows())
    words = ["doctor", "--data.train", "Jsonl", "--data.train.path", str(path), "--output", str(tmp_path)]
    assert main([*words, "--data.prompts_per_step", "2"]) == 0
    assert "tokens of a prompt" not in capsys.readouterr().out
    assert "no model is named" in (tmp_path / "rows.html").read_text()


@pytest.mark.whole
def test_the_options_that_decide_are_those_of_the_learner():
    own, learners = (inspect.signature(cls).parameters for cls in (AdmissionOptions, ObserveLearner))
    assert own.keys() == OPTIONS
    assert {name: learners[name].default for name in own if name != "policy"} == {
        name: parameter.default for name, parameter in own.items() if name != "policy"
    }
    sections = {name.partition(".")[0] for name in RunCLI.defaults(ObserveLearner)}
    assert sections - {"model", "data", "plugins", "learner"} == OTHER_SECTIONS
