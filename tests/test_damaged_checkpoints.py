"""A checkpoint that was damaged after it had been written is noticed, and the one before it is used."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.run.checkpoints import check_checkpoint, newest_checkpoint
from observer.types import RefusedError
from tiny_run import UPDATES, fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of .list. across ranks is zero"),
]


def train(run_dir, rollouts, ckpt_path=None, **options):
    usual = {"every": UPDATES, "validates": False}
    return fit(run_dir, ckpt_path, rollouts=rollouts, **{**usual, **options})


def weights(module):
    return {name: value.tolist() for name, value in module.state_dict().items()}


def rollouts(run_dir):
    """The rollouts that each checkpoint holds."""
    return {
        path.stem: torch.load(path, weights_only=True)["TinyData"]["step"]
        for path in (run_dir / "checkpoints").glob("*.ckpt")
    }


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def with_a_flipped_weight(path):
    held = torch.load(path, weights_only=True)
    weight = held["state_dict"]["layer.weight"].numpy().tobytes()
    data = path.read_bytes()
    path.write_bytes(flipped(data, data.index(weight)))


def without(part):
    def damage(path):
        held = torch.load(path, weights_only=True)
        del held[part]
        torch.save(held, path)

    return damage


def changed(change):
    def damage(path):
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGES = {
    "cut in the middle": changed(lambda data: data[: len(data) // 2]),
    "empty": changed(lambda data: b""),
    "of zeros": changed(lambda data: bytes(len(data))),
    "with a flipped bit of a weight": with_a_flipped_weight,
    "without its optimizer": without("optimizer_states"),
    "without its weights": without("state_dict"),
}


@pytest.fixture
def run_dir(tmp_path):
    """A run of three rollouts with a checkpoint after each."""
    train(tmp_path / "run", 3)
    return tmp_path / "run"


def test_the_one_before_the_last_stays_and_no_other(tmp_path):
    train(tmp_path, 5)
    assert rollouts(tmp_path) == {"last": 5, "previous": 4}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_a_damaged_last_is_used_and_the_run_goes_on_exactly(tmp_path, run_dir, damage):
    unbroken = train(tmp_path / "unbroken", 6)
    DAMAGES[damage](run_dir / "checkpoints" / "last.ckpt")
    with pytest.warns(UserWarning, match=r"last.ckpt \(\d+ bytes\) cannot be read: .*going on from previous"):
        start = newest_checkpoint(run_dir)
    resumed = train(run_dir, 6, start)
    assert resumed.story == unbroken.story[-len(resumed.story) :]
    assert resumed.story[0] == ("update 0", 2)
    assert weights(resumed) == weights(unbroken)


def test_no_flipped_bit_goes_unnoticed_where_it_would_change_anything(run_dir):
    """``torch.load`` does not look at the check sums in the file: a flipped weight would be trained on."""
    path = run_dir / "checkpoints" / "last.ckpt"
    data, noticed, silent = path.read_bytes(), 0, 0
    whole = repr(torch.load(path, weights_only=True))
    for place in range(0, len(data), 41):
        path.write_bytes(flipped(data, place))
        try:
            check_checkpoint(path)
        except RefusedError:
            noticed += 1
        else:
            assert repr(torch.load(path, weights_only=True)) == whole, f"byte {place} of {len(data)}"
            silent += 1
    assert noticed > 30
    assert silent > 0, "there is space between the parts of the file"


class Watching(AtomicCheckpointIO):
    """Makes sure that there is a checkpoint to go on from, before and after each that is written."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        newest_checkpoint(Path(path).parents[1])
        super().save_checkpoint(checkpoint, path, storage_options)
        newest_checkpoint(Path(path).parents[1])


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_a_damaged_last_never_takes_the_place_of_the_one_before(run_dir):
    changed(lambda data: b"")(run_dir / "checkpoints" / "last.ckpt")
    train(run_dir, 3, newest_checkpoint(run_dir), io=Watching())
    assert rollouts(run_dir) == {"last": 3, "previous": 2}
    changed(lambda data: b"")(run_dir / "checkpoints" / "last.ckpt")
    train(run_dir, 5, newest_checkpoint(run_dir), io=Watching())
    assert rollouts(run_dir) == {"last": 5, "previous": 4}


def test_going_on_from_the_last_keeps_it_as_the_one_before(run_dir):
    train(run_dir, 4, newest_checkpoint(run_dir), io=Watching())
    assert rollouts(run_dir) == {"last": 4, "previous": 3}


def test_a_kill_while_the_last_was_written_leaves_nothing_behind(run_dir):
    last, previous = (run_dir / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous"))
    previous.unlink()
    os.link(last, previous)  # as it was at that moment
    train(run_dir, 4, newest_checkpoint(run_dir))
    assert sorted(path.name for path in last.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert rollouts(run_dir) == {"last": 4, "previous": 3}


def test_going_back_leaves_no_later_state_to_be_found(tmp_path):
    train(tmp_path, 6, validates=True, accuracies=[0.9, 0.1])
    best = tmp_path / "checkpoints" / "best.ckpt"
    assert rollouts(tmp_path) == {"best": 3, "last": 6, "previous": 5}
    train(tmp_path, 4, best, validates=True, accuracies=[0.9, 0.1])
    assert rollouts(tmp_path) == {"best": 3, "last": 4}
    assert newest_checkpoint(tmp_path).stem == "last"


def test_on_a_disk_without_links_the_one_before_stays_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    train(tmp_path, 3)
    assert rollouts(tmp_path) == {"last": 3, "previous": 2}


def test_when_all_are_damaged_each_is_named(run_dir):
    shutil.copy(run_dir / "checkpoints" / "last.ckpt", run_dir / "checkpoints" / "best.ckpt")
    for path in (run_dir / "checkpoints").iterdir():
        with_a_flipped_weight(path)
    with pytest.raises(RefusedError) as caught:
        newest_checkpoint(run_dir)
    for name in ("best", "last", "previous"):
        assert f"{name}.ckpt (" in str(caught.value)
    assert "is damaged" in str(caught.value)
