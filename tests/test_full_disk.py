"""A disk that takes no more ends a run with the name of the file; made room for, the run goes on exactly."""

import errno
import json
import os
import resource
from pathlib import Path

import lightning
import pytest
import torch

import runs
from full_disk import full_for_files_above
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.cli.board import Board
from observer.run.checkpoints import newest_checkpoint
from observer.run.files import WriteError, write_folder

SMALL = [
    *("--trainer.max_steps", "1", "--data.prompts_per_step", "1", "--model.group_size", "4"),
    *(
        "--data.val",
        "null",
        "--data.test",
        "null",
        "--model.max_tokens",
        "8",
        "--trainer.enable_progress_bar",
        "false",
    ),
]


def train(run_dir, ckpt_path=None, *callbacks):
    learner = runs.learner(max_tokens=24)
    kept = [*checkpoint_callbacks(run_dir, 1, validates=False), *callbacks]
    trainer = runs.trainer(run_dir, 2, callbacks=kept)
    data = runs.data_module(val=None, test=None, prompts_per_step=2)
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)
    weights = {name: value.clone() for name, value in learner.policy.state_dict().items()}
    return weights, (run_dir / "completions.jsonl").read_bytes()


class Fill(lightning.Callback):
    """Lets the disk be full from the second step on."""

    def on_train_batch_start(self, trainer, pl_module, *_):
        if pl_module.data.step == 1:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))


def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint_and_the_run_goes_on_exactly(tmp_path):
    weights, completions = train(tmp_path / "unbroken")
    run_dir = tmp_path / "run"
    last = run_dir / "checkpoints" / "last.ckpt"
    with (
        full_for_files_above(resource.RLIM_INFINITY),
        pytest.raises(WriteError, match=f"{last} cannot be written: File too large"),
    ):
        train(run_dir, None, Fill())
    assert torch.load(last, weights_only=True)["global_step"] == 1
    assert [path.name for path in run_dir.rglob("*.tmp")] == []
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert f"{last} cannot be written" in summary["error"]
    again = train(run_dir, newest_checkpoint(run_dir))
    assert again[1] == completions
    assert all(torch.equal(value, again[0][name]) for name, value in weights.items())


def test_the_lines_of_a_step_are_on_the_disk_before_its_checkpoint(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def note(descriptor):
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    learner, last = runs.learner(max_tokens=8), checkpoint_callbacks(tmp_path, 1, validates=False)
    data = runs.data_module(val=None, test=None, prompts_per_step=1)
    runs.trainer(tmp_path, 1, callbacks=last).fit(learner, datamodule=data)
    place = max(at for at, name in enumerate(synced) if name.startswith(".last.ckpt.observer-"))
    assert set(synced[place - 2 : place]) == {"completions.jsonl", "curve.jsonl"}


def test_an_export_that_does_not_fit_leaves_nothing_and_is_named(tmp_path, policy):
    with (
        full_for_files_above(1_000_000),
        pytest.raises(WriteError, match=f"{tmp_path}/export cannot be written: File too large"),
    ):
        write_folder(tmp_path / "export", policy.save_pretrained)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.whole
def test_a_command_without_room_for_its_first_checkpoint_says_so_and_can_be_given_again(
    tmp_path, capfd, in_the_repository
):
    words = ["fit", "--config", "configs/quickstart.yaml", *SMALL, "--run_dir", str(tmp_path / "run")]
    with full_for_files_above(1_000_000):
        assert main(words) == 1
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith(
        f"observer: failed: {tmp_path}/run/checkpoints/last.ckpt cannot be written: File"
    )
    assert "make room, then go on with --ckpt_path last (or start again" in message
    assert main(words) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "complete"


def test_curves_that_cannot_be_written_are_named(tmp_path):
    board = Board(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    board.experiment.add_scalar = full
    with pytest.raises(WriteError, match=f"{tmp_path}/? cannot be written: No space left"):
        board.log_metrics({"train/reward": 1.0}, 0)
    board.experiment.close()


def test_what_cannot_be_said_in_the_summary_does_not_hide_why_the_run_ends(tmp_path, monkeypatch):
    class Stop(lightning.Callback):
        def on_train_batch_start(self, *_):
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            raise FloatingPointError("the loss is nan")

    with (
        full_for_files_above(resource.RLIM_INFINITY),
        pytest.raises(FloatingPointError, match="the loss is nan"),
        pytest.warns(UserWarning, match="summary.json cannot be written: File too large"),
    ):
        train(tmp_path, None, Stop())
