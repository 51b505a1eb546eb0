"""``observer ladder learned``: what a run has learned becomes columns, and all else stays as it was."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch
import yaml

import laddered
from laddered import Silent, recipe
from observer.cli import main
from observer.curriculum import Random
from observer.data import Ladder, LadderDataModule, Message
from observer.ladder import build
from observer.verifier import Verifier


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    build(recipe(laddered.rows(folder / "rows", 8)), folder / "ladder", shown=Silent())
    return folder / "ladder"


@pytest.fixture
def ladder(built, tmp_path):
    return shutil.copytree(built, tmp_path / "ladder")


@pytest.fixture
def trained(ladder, renderer, tmp_path):
    """A run of two rollouts on a ladder: rows 0 and 1, then 1 and 2; or on other rows."""

    def run(rows="Ladder", path=ladder, name="run"):
        form = {"Ladder": Ladder, "Message": Message}[rows]
        module = LadderDataModule(form(str(path), keep_checked=False), prompts_per_step=2, seed=5)
        module.setup("fit")
        module.admit(renderer, Verifier(), tmp_path)
        module.schedule, module.horizon = Random(), 2
        module.finish_step([0, 1], [1.0, 0.5])
        module.finish_step([1, 2], [1.0, 0.0])
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        saved = {"global_step": 1, "LadderDataModule": module.state_dict(), "state_dict": {}, "loops": {}}
        saved |= {"callbacks": {}, "optimizer_states": [], "lr_schedulers": []}
        torch.save(saved, folder / "checkpoints" / "last.ckpt")
        train = {"class_path": rows, "init_args": {"path": str(path)}}
        (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"train": train}}))
        return folder

    return run


def merged(ladder, run):
    return main(["ladder", "learned", "--output", str(ladder), "--run_dir", str(run)])


def test_what_a_run_has_learned_becomes_columns_beside_the_others(ladder, built, trained, capsys):
    assert merged(ladder, trained()) == 0
    assert "learned.parquet: 3 rows were visited in 2 rollouts" in capsys.readouterr().out
    old, new = pq.read_table(built / "ladder.parquet"), pq.read_table(ladder / "learned.parquet")
    assert new.select(old.column_names).equals(old)
    assert new["learned_visits"].to_pylist() == [1, 2, 1, 0, 0, 0, 0, 0]
    assert new["learned_success"].to_pylist()[:4] == [1.0, 0.75, 0.0, None]
    assert new["learned_last_success"].to_pylist()[:4] == [1.0, 1.0, 0.0, None]
    assert new["learned_last_step"].to_pylist()[:4] == [0, 1, 1, None]
    assert new["learned_difficulty"].to_pylist()[:4] == [0.25, pytest.approx(1 / 3), 0.75, None]
    metadata = new.schema.metadata
    assert metadata[b"observer.provenance"] == old.schema.metadata[b"observer.provenance"]
    learned = json.loads(metadata[b"observer.learned"])
    assert learned["rollouts"] == 2
    assert learned.keys() == {"rollouts", "prior_visits", "config", "checkpoint", "versions"}
    assert str(ladder) not in metadata[b"observer.learned"].decode()


def test_the_ladder_still_loads_and_the_next_run_may_start_from_what_was_learned(ladder, built, trained):
    run = trained()
    assert merged(ladder, run) == 0
    assert merged(ladder, run) == 0, "also once more, in place of the file that is there"
    assert (ladder / "ladder.parquet").read_bytes() == (built / "ladder.parquet").read_bytes()
    before, after = (json.loads((folder / "manifest.json").read_text()) for folder in (built, ladder))
    assert before == after | {"files": {k: v for k, v in after["files"].items() if k != "learned.parquet"}}
    assert set(Ladder(str(ladder), keep_checked=False).read().difficulty.tolist()) == {0.5}
    learned = Ladder(str(ladder), learned=True, keep_checked=False).read()
    assert learned.difficulty.tolist() == pytest.approx([0.25, 1 / 3, 0.75, *[0.5] * 5])
    assert set(learned.level.tolist()) == {4}
    content = (ladder / "learned.parquet").read_bytes()
    (ladder / "learned.parquet").write_bytes(content[:-9] + b"123456789")
    assert merged(ladder, run) == 0, "a damaged file is written anew"
    assert (ladder / "learned.parquet").read_bytes() == content


def test_runs_on_other_rows_are_told_or_refused(ladder, trained, tmp_path, capsys):
    lines = (ladder / "ladder.jsonl").read_text().splitlines(keepends=True)
    other = tmp_path / "other"
    shutil.copytree(ladder / "pictures", other / "pictures")
    (other / "some.jsonl").write_text("".join(lines[1:4]))
    assert merged(ladder, trained("Message", other / "some.jsonl", "some")) == 0
    assert pq.read_table(ladder / "learned.parquet")["learned_visits"].to_pylist()[:5] == [0, 1, 2, 1, 0]
    (other / "shifted.jsonl").write_text("".join([lines[0].replace('"id": "r', '"id": "q'), *lines[1:3]]))
    capsys.readouterr()
    assert merged(ladder, trained("Message", other / "shifted.jsonl", "shifted")) == 0
    assert "1 more rows that the run has visited are not in this ladder" in capsys.readouterr().out
    written = (ladder / "learned.parquet").read_bytes()
    (other / "none.jsonl").write_text("".join(line.replace('"id": "r', '"id": "q') for line in lines[:3]))
    assert merged(ladder, trained("Message", other / "none.jsonl", "none")) == 2
    assert "none of the 3 rows that the run has visited is in" in capsys.readouterr().err
    (other / "edited.jsonl").write_text("".join(line.replace("How many", "How few") for line in lines[:3]))
    assert merged(ladder, trained("Message", other / "edited.jsonl", "edited")) == 2
    assert "of the run asks" in " ".join(capsys.readouterr().err.split())
    assert (ladder / "learned.parquet").read_bytes() == written


def test_a_ladder_that_was_edited_and_a_run_that_is_not_there_are_refused(ladder, trained, capsys):
    assert merged(ladder, "nowhere") == 2
    assert "--run_dir nowhere: it holds no config.yaml" in capsys.readouterr().err
    run = trained("Message", ladder / "ladder.jsonl")
    (ladder / "ladder.parquet").write_bytes(b"PAR1")
    assert merged(ladder, run) == 2
    assert "ladder.parquet is not the file that" in " ".join(capsys.readouterr().err.split())
