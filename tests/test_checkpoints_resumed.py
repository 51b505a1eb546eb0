"""Checkpoints of a run that goes on, and on ranks above the first."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.callbacks.checkpoints import Last
from observer.run.checkpoints import newest_checkpoint
from tiny_run import fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of .list. across ranks is zero"),
]


class Noting(AtomicCheckpointIO):
    """Keeps at which optimizer steps which file was written."""

    def __init__(self):
        self.written = []

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        super().save_checkpoint(checkpoint, path, storage_options)
        self.written.append((Path(path).stem, checkpoint["global_step"]))


class Killed(BaseException):
    pass


def killed():
    raise Killed


def run(run_dir, ckpt_path=None, at=None, **options):
    io = Noting()
    usual = {"every": 3, "validates": False, "rollouts": 8}
    with suppress(Killed):
        fit(run_dir, ckpt_path, at, io=io, **{**usual, **options})
    return io.written


def test_a_run_that_goes_on_writes_its_checkpoints_where_an_unbroken_one_does(tmp_path):
    whole = run(tmp_path / "whole")
    assert whole == [("last", step) for step in (0, 4, 6, 10, 12, 16)]
    begun = run(tmp_path / "run", at={("update 1", 4): killed})
    assert begun == whole[:3]
    again = run(tmp_path / "run", newest_checkpoint(tmp_path / "run"))
    assert again == whole[3:]


def test_a_run_that_goes_on_writes_nothing_before_its_first_step(tmp_path):
    run(tmp_path, at={("update 1", 4): killed})
    folder = tmp_path / "checkpoints"
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    assert before.keys() == {"last.ckpt", "previous.ckpt"}
    assert run(tmp_path, newest_checkpoint(tmp_path), at={("update 0", 3): killed}) == []
    assert {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()} == before


def test_a_run_that_goes_on_at_its_end_writes_nothing(tmp_path):
    run(tmp_path)
    assert run(tmp_path, newest_checkpoint(tmp_path)) == []


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_rank_moves_files_and_every_rank_takes_part_in_the_saving(tmp_path, rank, goes_on):
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    last.write_text("the newest")
    previous.write_text("older")
    saved = []
    trainer = SimpleNamespace(
        is_global_zero=rank == 0,
        global_step=4 if goes_on else 0,
        ckpt_path=str(last) if goes_on else None,
        fast_dev_run=False,
        callbacks=[],
        save_checkpoint=lambda path, weights_only: saved.append(path),
    )
    callback = Last(last, every_n_steps=1)
    callback.on_train_start(trainer, None)
    trainer.global_step = 6
    callback.on_train_end(trainer, None)
    assert saved == [last] * (1 if goes_on else 2)
    assert last.read_text() == "the newest"
    assert previous.read_text() == ("the newest" if rank == 0 else "older")
