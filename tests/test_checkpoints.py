import itertools
import os
import pickle
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from full_disk import full_for_files_above
from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.callbacks.checkpoints import checkpoint_callbacks
from observer.run.checkpoints import newest_checkpoint
from observer.run.files import WriteError
from observer.types import RefusedError
from tiny_run import UPDATES, Tiny, fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of .list. across ranks is zero"),
]


class KilledError(Exception):
    """Ends a run as a kill does: nothing of the run's own code comes after."""


def kill():
    raise KilledError


def read(path):
    return torch.load(path, weights_only=True)


def weights(module_or_file):
    state = (
        module_or_file.state_dict()
        if hasattr(module_or_file, "state_dict")
        else read(module_or_file)["state_dict"]
    )
    return {name: value.tolist() for name, value in state.items()}


def rollouts_in(path):
    return read(path)["TinyData"]["step"]


# Writing


def state(generation):
    return {"global_step": generation, "weights": torch.full((1_250_000,), float(generation))}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "kills", [pytest.param(20, id="20"), pytest.param(300, marks=pytest.mark.slow, id="300")]
)
@pytest.mark.whole
def test_a_checkpoint_can_be_read_whenever_its_writer_is_killed(tmp_path, kills):
    target, io, chance = tmp_path / "last.ckpt", AtomicCheckpointIO(), random.Random(0)
    states = [state(0), state(1)]
    io.save_checkpoint(states[0], target)
    seen, killed_while_writing = set(), 0
    for kill in range(kills):
        wait, told = os.pipe()
        if not (child := os.fork()):
            for generation in itertools.cycle((1, 0)):
                io.save_checkpoint(states[generation], target)
                os.write(told, b".")
        os.close(told)
        if kill % 2:
            os.read(wait, 1)  # one write has come to its end, however slow the machine is
        time.sleep(chance.uniform(0.01, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(wait)
        killed_while_writing += any(path.suffix == ".tmp" for path in tmp_path.iterdir())
        found = read(target)
        assert bool((found["weights"] == found["global_step"]).all())
        seen.add(found["global_step"])
    assert seen == {0, 1}, "no write came to its end, so nothing was tested"
    assert killed_while_writing > 0, "no kill hit a write, so nothing was tested"
    io.save_checkpoint(states[0], target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_save_that_fails_leaves_the_checkpoint_before_and_nothing_else(tmp_path):
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"global_step": 1}, path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        io.save_checkpoint({"global_step": 2, "cannot be saved": lambda: None}, path)
    assert io.load_checkpoint(path) == {"global_step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    of_dead, of_living = (
        tmp_path / f".best.ckpt.observer-{process}-0123abcd-0.tmp" for process in (dead.pid, os.getppid())
    )
    others = tmp_path / "notes.tmp"
    for path in (of_dead, of_living, others):
        path.touch()
    AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")
    assert sorted(tmp_path.iterdir()) == sorted([of_living, others, tmp_path / "last.ckpt"])


def test_the_folder_is_made_and_storage_options_are_refused(tmp_path):
    AtomicCheckpointIO().save_checkpoint({"x": 1}, tmp_path / "a" / "b" / "last.ckpt")
    assert read(tmp_path / "a" / "b" / "last.ckpt") == {"x": 1}
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt", storage_options={"x": 1})


def test_a_file_that_would_run_code_is_not_loaded_even_when_asked_to(tmp_path):
    AtomicCheckpointIO().save_checkpoint({"global_step": 1, "code": Path("x")}, tmp_path / "last.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)


# Finding


def put(run_dir, name, steps, seconds=1):
    path = run_dir / "checkpoints" / f"{name}.ckpt"
    parts = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")
    held = {"global_step": steps, "weights": torch.zeros(1000)} | {part: {} for part in parts}
    AtomicCheckpointIO().save_checkpoint(held, path)
    os.utime(path, (seconds, seconds))
    return path


def test_the_newest_checkpoint_has_the_most_steps_and_of_equals_was_written_last(tmp_path):
    put(tmp_path, "last", 100, seconds=9)
    best = put(tmp_path, "best", 150, seconds=5)
    assert newest_checkpoint(tmp_path) == best
    last = put(tmp_path, "last", 150, seconds=6)
    assert newest_checkpoint(tmp_path) == last


@pytest.mark.parametrize("kept", [0, 1, 100, 2000, -1])
def test_a_truncated_checkpoint_is_passed_over_with_a_warning(tmp_path, kept):
    last, best = put(tmp_path, "last", 200), put(tmp_path, "best", 100)
    last.write_bytes(last.read_bytes()[:kept])
    with pytest.warns(
        UserWarning, match=r"last.ckpt \(\d+ bytes\) cannot be read: .*going on from best.ckpt"
    ):
        assert newest_checkpoint(tmp_path) == best


def test_a_file_that_is_no_checkpoint_is_passed_over(tmp_path):
    best = put(tmp_path, "best", 100)
    torch.save({"weights": 1}, tmp_path / "checkpoints" / "weights.ckpt")
    torch.save([1], tmp_path / "checkpoints" / "list.ckpt")
    torch.save({"global_step": 200, "code": Path("x")}, tmp_path / "checkpoints" / "code.ckpt")
    (tmp_path / "checkpoints" / "folder.ckpt").mkdir()
    with pytest.warns(UserWarning, match="going on from best.ckpt") as warned:
        assert newest_checkpoint(tmp_path) == best
    assert len(warned) == 4


def test_without_a_checkpoint_the_refusal_says_what_is_there(tmp_path):
    with pytest.raises(RefusedError, match=f"{tmp_path}/checkpoints: there is no such folder"):
        newest_checkpoint(tmp_path)
    last = put(tmp_path, "last", 200)
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(RefusedError, match=r"last.ckpt \(100 bytes\) cannot be read"):
        newest_checkpoint(tmp_path)
    last.unlink()
    with pytest.raises(RefusedError, match=r"it holds no \*.ckpt"):
        newest_checkpoint(tmp_path)


# When they are written


class Recording(AtomicCheckpointIO):
    """Notes what is saved, and that the file it replaces can be read until then and is never removed."""

    def __init__(self):
        self.saved = []

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        if Path(path).exists():
            read(path)
        self.saved.append((Path(path).name, checkpoint["global_step"]))
        super().save_checkpoint(checkpoint, path, storage_options)

    def remove_checkpoint(self, path):
        raise AssertionError(f"{path} is removed")


@pytest.mark.parametrize(
    ("every", "steps"),
    [(1, [0, 2, 4, 6, 8]), (2, [0, 2, 4, 6, 8]), (3, [0, 4, 6, 8]), (4, [0, 4, 8]), (100, [0, 8])],
)
def test_the_last_is_saved_at_the_end_of_a_rollout_that_reaches_a_multiple_and_at_the_end(
    tmp_path, every, steps
):
    io = Recording()
    fit(tmp_path, every=every, rollouts=4, validates=False, io=io)
    assert io.saved == [("last.ckpt", step) for step in steps]


def test_without_validation_rows_there_is_no_best(tmp_path):
    fit(tmp_path, every=2, validates=False)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["last.ckpt", "previous.ckpt"]


def test_the_last_checkpoint_of_a_run_is_its_final_state(tmp_path):
    module = fit(tmp_path, every=4, rollouts=5)
    assert weights(tmp_path / "checkpoints" / "last.ckpt") == weights(module)
    assert rollouts_in(tmp_path / "checkpoints" / "last.ckpt") == 5


def test_the_best_is_saved_when_it_is_best_and_the_last_after_every_validation(tmp_path):
    io = Recording()
    fit(tmp_path, rollouts=12, accuracies=[0.2, 0.5, 0.5, 0.4], io=io)
    assert [step for name, step in io.saved if name == "best.ckpt"] == [6, 12]
    assert [step for name, step in io.saved if name == "last.ckpt"] == [0, 18, 24], "the others are the best"
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


def test_a_last_that_is_the_best_is_one_file_until_one_of_them_is_replaced(tmp_path):
    last, best = (tmp_path / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    fit(tmp_path, rollouts=3, accuracies=[0.5])
    assert last.samefile(best)
    assert newest_checkpoint(tmp_path) == last, "the name that is written next"
    held = best.read_bytes()
    fit(tmp_path, last, rollouts=6, accuracies=[0.5, 0.4])
    assert not last.samefile(best)
    assert best.read_bytes() == held
    assert (rollouts_in(last), rollouts_in(best)) == (6, 3)


def test_without_hard_links_the_last_is_written_beside_the_best(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    fit(tmp_path, rollouts=3, accuracies=[0.5])
    last, best = (tmp_path / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    assert not last.samefile(best)
    assert weights(last) == weights(best)


def test_a_worse_one_after_a_resume_does_not_replace_the_best(tmp_path):
    fit(tmp_path, rollouts=3, accuracies=[0.9])
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    fit(moved, moved / "checkpoints" / "last.ckpt", rollouts=6, accuracies=[0.9, 0.7])
    assert rollouts_in(moved / "checkpoints" / "best.ckpt") == 3
    fit(moved, newest_checkpoint(moved), rollouts=9, accuracies=[0.9, 0.7, 0.95])
    assert rollouts_in(moved / "checkpoints" / "best.ckpt") == 9


def test_a_best_whose_file_is_gone_is_forgotten(tmp_path):
    fit(tmp_path, rollouts=3, accuracies=[0.9])
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    fit(tmp_path, tmp_path / "checkpoints" / "last.ckpt", rollouts=6, accuracies=[0.9, 0.7])
    assert rollouts_in(tmp_path / "checkpoints" / "best.ckpt") == 6


def test_a_checkpoint_every_zero_steps_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="every_n_steps is 0; it must be >= 1"):
        checkpoint_callbacks(tmp_path, 0, validates=True)


# Going on

MOMENTS = [
    ("update 1", 2),
    ("rollout", 3),
    ("validate", 3),
    ("update 0", 3),
    ("update 0", 4),
    ("validate", 6),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("every", [UPDATES, 2 * UPDATES])
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tmp_path, moment, every):
    unbroken = fit(tmp_path / "unbroken", every=every, rollouts=7, accuracies=[0.3, 0.4])
    killed = Tiny([0.3, 0.4], at={moment: kill})
    with pytest.raises(KilledError):
        fit(tmp_path / "run", module=killed, every=every, rollouts=7)
    start = newest_checkpoint(tmp_path / "run")
    resumed = fit(tmp_path / "run", start, every=every, rollouts=7, accuracies=[0.3, 0.4])
    assert weights(resumed) == weights(unbroken)
    kept = unbroken.story[: -len(resumed.story)]
    assert kept + resumed.story == unbroken.story
    assert kept == killed.story[:-1][: len(kept)], (
        "what was cut short, an update or a validation, is not made again"
    )
    assert moment[1] - rollouts_in(start) <= every // UPDATES, (
        "more is lost than there is between two checkpoints"
    )


def test_going_on_from_the_best_is_exact_too(tmp_path):
    unbroken = fit(tmp_path / "unbroken", rollouts=7, accuracies=[0.9, 0.1])
    shutil.copytree(tmp_path / "unbroken", tmp_path / "run")
    start = tmp_path / "run" / "checkpoints" / "best.ckpt"
    resumed = fit(tmp_path / "run", start, rollouts=7, accuracies=[0.9, 0.1])
    assert weights(resumed) == weights(unbroken)
    assert resumed.story[0] == ("update 0", 3)
    assert resumed.story == unbroken.story[-len(resumed.story) :]


def test_a_write_that_fails_says_why_and_leaves_the_one_before(tmp_path):
    """``torch.save`` alone says of a full disk: unexpected pos 7967744 vs 7967632."""
    path = put(tmp_path, "last", 100)
    before = path.read_bytes()
    failed = pytest.raises(WriteError, match=f"{path} cannot be written: File too large")
    with full_for_files_above(100_000), failed:
        AtomicCheckpointIO().save_checkpoint(state(200), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
