"""Pictures that are gone or replaced after they were checked: noticed, with the row and the way to go on."""

import json
import os

import lightning
import pytest
from PIL import Image

import runs
from observer.cli import main
from observer.data import Jsonl
from observer.rollout import ScriptedEngine
from observer.types import LostInputError, RefusedError
from scoring import QUICK
from scoring import row as scored_row
from written_rows import ROW, written

ROWS = [ROW | {"id": name, "images": [f"{name}.png"]} for name in "ab"]


def replace_keeping_size_and_time(path):
    """Change one byte of a picture's pixels, as a bitmap holds them."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def bitmap(folder):
    Image.new("RGB", (30, 20), "red").save(folder / "a.bmp")
    return ROW | {"id": "a", "images": ["a.bmp"]}


def test_a_picture_with_other_content_is_noticed_though_size_and_time_are_the_same(folder, train):
    [problem] = Jsonl(written(train, bitmap(folder))).read()
    replace_keeping_size_and_time(folder / "a.bmp")
    with pytest.raises(
        RefusedError, match=r"picture 'a\.bmp' was replaced after it was checked: .*a\.bmp is another file"
    ):
        problem.pictures[0].load()


def test_a_picture_that_was_touched_or_written_again_is_the_same(folder, train):
    [problem] = Jsonl(written(train, bitmap(folder))).read()
    content = (folder / "a.bmp").read_bytes()
    (folder / "a.bmp").unlink()
    (folder / "a.bmp").write_bytes(content)
    os.utime(folder / "a.bmp", (1, 1))
    assert problem.pictures[0].load().getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("colour", ["blue", "red"])
def test_a_replaced_picture_whose_header_alone_was_checked_is_noticed_by_size_or_time(folder, train, colour):
    [problem] = Jsonl(written(train, bitmap(folder)), check_images="header").read()
    assert problem.pictures[0].load().size == (30, 20)
    Image.new("RGB", (30, 20 if colour == "blue" else 21), colour).save(folder / "a.bmp")
    os.utime(folder / "a.bmp", (1, 1))
    with pytest.raises(RefusedError, match="was replaced after it was checked"):
        problem.pictures[0].load()


def test_rows_from_the_cache_notice_a_replaced_picture(folder, train, monkeypatch):
    monkeypatch.setattr("observer.data.checks.file_cache.LEAST_ROWS", 1)
    rows = Jsonl(written(train, bitmap(folder)))
    rows.read()
    monkeypatch.setattr(Jsonl, "_check", lambda _: pytest.fail("the rows are not in the cache"))
    [problem] = rows.read()
    assert problem.pictures[0].load().size == (30, 20)
    replace_keeping_size_and_time(folder / "a.bmp")
    with pytest.raises(RefusedError, match="was replaced after it was checked"):
        problem.pictures[0].load()


def test_each_picture_of_a_row_has_its_own_mark(folder, train):
    path = written(train, ROW | {"images": ["a.png", "b.png", "a.png"]}, ROW, ROWS[1])
    several, none, one = Jsonl(path).read()
    assert [picture.load().size for picture in several.pictures] == [(30, 20), (50, 40), (30, 20)]
    assert none.pictures == ()
    Image.new("RGB", (50, 40), "green").save(folder / "b.png")
    assert [picture.load().size for picture in (several.pictures[0], several.pictures[2])] == [(30, 20)] * 2
    for picture in (several.pictures[1], one.pictures[0]):
        with pytest.raises(RefusedError, match=r"'b\.png' was replaced"):
            picture.load()


def gone(path):
    path.unlink()


def replaced(path):
    Image.new("RGB", (50, 40), "green").save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (gone, "picture 'b.png' is no file; looked for"),
        (replaced, "picture 'b.png' was replaced after it was checked"),
        (cut, "picture 'b.png' was replaced after it was checked: picture"),
    ],
)
def test_a_prompt_whose_picture_is_lost_names_row_and_picture_and_how_to_go_on(
    folder, train, renderer, change, said
):
    problems = list(Jsonl(written(train, *ROWS)).read())
    change(folder / "b.png")
    with pytest.raises(LostInputError) as caught:
        renderer.render(problems)
    text = str(caught.value)
    assert text.startswith(f"{train}:2: row 'b': {said}")
    assert "interrupted: put the picture back as it was, then go on with --ckpt_path last" in text


def test_a_picture_that_is_gone_before_admission_is_refused_with_its_row(folder, train, renderer):
    problems = list(Jsonl(written(train, *ROWS)).read())
    gone(folder / "b.png")
    with pytest.raises(RefusedError, match=r"train\.jsonl:2: row 'b': picture 'b\.png' is no file"):
        renderer.check(problems[1])


def test_a_run_that_a_lost_picture_interrupts_says_so_in_its_summary(folder, train, tmp_path):
    class Replace(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            for name in "ab":
                replaced(folder / f"{name}.png")

    data = runs.data_module(train=Jsonl(written(train, *ROWS)), val=None, test=None, prompts_per_step=2)
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    with pytest.raises(LostInputError, match="was replaced after it was checked"):
        runs.trainer(tmp_path, 4, callbacks=[Replace()]).fit(learner, datamodule=data)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("interrupted", 1)
    assert "was replaced after it was checked" in summary["error"]


def test_a_command_says_that_it_was_interrupted_by_which_picture_of_which_row(
    folder, tmp_path, capfd, in_the_repository
):
    (tmp_path / "looking.py").write_text(
        "def looks(completions, images, **_): return [1.0] * len(completions)"
    )
    rows = [scored_row(7, id=name, images=[f"{name}.png"]) for name in "abc"]
    reward = (
        "--model.rewards.looks",
        "TrlReward",
        "--model.rewards.looks.function",
        f"{tmp_path}/looking.py:looks",
    )
    words = [*QUICK, *reward, "--input", written(tmp_path / "rows.jsonl", *rows)]
    assert main(["score", *words, "--output", str(tmp_path / "scored.jsonl")]) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith(
        f"observer: interrupted: {tmp_path}/rows.jsonl:3: row 'c': picture 'c.png' is no file"
    )
    assert "put the picture back as it was" in said


REMOVER = """
import lightning
from pathlib import Path

class Remove(lightning.Callback):
    '''Takes the pictures away once the first step is over.'''

    def __init__(self, folder: str):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.data.step == 2:
            for path in Path(self.folder).glob("*.png"):
                path.rename(path.with_suffix(".gone"))
"""


@pytest.mark.slow
def test_a_run_whose_pictures_go_missing_is_interrupted_and_goes_on_when_they_are_back(
    folder, train, tmp_path, monkeypatch, capfd, in_the_repository
):
    (tmp_path / "taking_away.py").write_text(REMOVER)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    words = ["fit", "--config", "configs/quickstart.yaml", "--run_dir", str(run)]
    words += [
        "--data.train",
        "Jsonl",
        "--data.train.path",
        written(train, *ROWS),
        "--data.prompts_per_step",
        "2",
    ]
    words += [
        "--data.val",
        "null",
        "--data.test",
        "null",
        "--data.steps_per_epoch",
        "1",
        "--report.export",
        "false",
    ]
    words += ["--trainer.max_steps", "4", "--model.group_size", "2", "--model.max_tokens", "8"]
    words += ["--checkpoints.every_n_steps", "1", "--curriculum.schedule", "Random"]
    removing = ["--trainer.callbacks+=taking_away.Remove", f"--trainer.callbacks.folder={folder}"]
    assert main([*words, *removing]) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith(f"observer: interrupted: {train}:")
    assert ".png' is no file" in said
    assert "go on with --ckpt_path last" in said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert ".png' is no file" in summary["error"]
    for path in folder.glob("*.gone"):
        path.rename(path.with_suffix(".png"))
    assert main([*words, "--ckpt_path", "last"]) == 0
    assert json.loads((run / "summary.json").read_text())["status"] == "complete"
