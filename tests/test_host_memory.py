"""No rank holds a second copy of weights or optimizer state: a checkpoint is read page by page."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.learner.optimization import Optimization
from observer.objective import Constant
from observer.policy.allocation import return_freed_memory
from observer.run.checkpoints import read_checkpoint, resolve_checkpoint
from observer.run.files import link_file
from observer.types import RefusedError
from processes import HUNG
from scoring import ROOT

EXPERIMENT = ROOT / "experiments" / "memory" / "host_memory.py"
maps_needed = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="mappings are read from /proc")


def in_file(tensor, path):
    """Whether a tensor lies in pages of a file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, _, last = line.split()[0].partition("-")
        if int(first, 16) <= tensor.data_ptr() < int(last, 16):
            return line.endswith(str(path))
    return False


@pytest.fixture
def trained():
    """A layer whose optimizer has made a step."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 64)
    optimizer = optimizer_over(layer)
    layer(torch.ones(64)).sum().backward()
    optimizer.step()
    return layer, optimizer


def optimizer_over(layer):
    return Optimization(torch.optim.AdamW, Constant(), None, 8192, None).configured(layer, 1)["optimizer"]


@pytest.fixture
def saved(tmp_path, trained):
    layer, optimizer = trained
    held = {
        "state_dict": layer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "callbacks": {"a": {"score": torch.ones(64)}},
        "global_step": 1,
        "pytorch-lightning_version": "2.6.6",
    }
    AtomicCheckpointIO().save_checkpoint(held, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@maps_needed
def test_weights_and_moments_stay_in_the_file_and_what_a_run_keeps_does_not(saved):
    checkpoint = AtomicCheckpointIO().load_checkpoint(saved)
    assert in_file(checkpoint["state_dict"]["weight"], saved)
    assert in_file(checkpoint["optimizer_states"][0]["state"][0]["exp_avg"], saved)
    assert not in_file(checkpoint["callbacks"]["a"]["score"], saved)


@maps_needed
def test_a_restored_run_keeps_nothing_of_the_file(saved, trained):
    layer = torch.nn.Linear(64, 64)
    optimizer = optimizer_over(layer)
    checkpoint = read_checkpoint(saved)
    layer.load_state_dict(checkpoint["state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    own = [*layer.parameters(), *(value for held in optimizer.state.values() for value in held.values())]
    before = [
        *trained[0].parameters(),
        *(value for held in trained[1].state.values() for value in held.values()),
    ]
    assert len(own) == len(before) == 2 + 2 * 3
    for now, then in zip(own, before, strict=True):
        assert torch.equal(now, then)
        assert not in_file(now, saved)
    kept = checkpoint["callbacks"]
    del checkpoint
    assert str(saved) not in Path("/proc/self/maps").read_text(), (
        "its room on the disk could not be given back"
    )
    assert kept["a"]["score"].sum() == 64


def test_one_rank_compares_check_sums_and_the_others_read_what_it_has_chosen(tmp_path, saved):
    held = torch.load(saved, weights_only=True) | {"loops": {}, "lr_schedulers": []}
    weight, io = held["state_dict"]["weight"], AtomicCheckpointIO()
    io.save_checkpoint(held, tmp_path / "previous.ckpt")
    io.save_checkpoint(held | {"global_step": 2}, saved)
    data = bytearray(saved.read_bytes())
    data[data.index(weight.numpy().tobytes())] ^= 1
    saved.write_bytes(data)
    with pytest.raises(RefusedError, match="is damaged"):
        resolve_checkpoint(tmp_path, str(saved))
    given = str(resolve_checkpoint(tmp_path, str(saved), sums=False))
    rank_0 = SimpleNamespace(broadcast=lambda path: str(tmp_path / "previous.ckpt"))
    io.agree(rank_0, given)
    assert torch.equal(io.load_checkpoint(given)["state_dict"]["weight"], weight)
    assert io.load_checkpoint(tmp_path / "previous.ckpt")["global_step"] == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps other memory")
def test_freed_memory_between_tensors_that_live_on_is_given_back():
    def held():
        return 1024 * int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])

    tensors = [torch.ones(size) for _ in range(1000) for size in (24_000, 1)]  # below what is mapped alone
    living, full = tensors[1::2], held()
    del tensors
    return_freed_memory()
    assert held() < full - 0.8 * 1000 * 24_000 * 4
    assert sum(map(float, living)) == 1000


def measured(output, millions, strategy):
    words = [sys.executable, EXPERIMENT, "--cases", "2", "--millions", millions, "--json", output]
    words += ["--strategy", strategy]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=output.parent)
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(output.read_text())["cases"]["2"]


@maps_needed
@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "sizes"), [("ddp", (20, 60)), ("fsdp2", (20, 100))])
def test_a_rank_of_two_holds_its_share_and_no_more_than_a_tenth_beyond(tmp_path, strategy, sizes):
    """Between two sizes, so that what does not grow with the model falls out."""
    small, large = (measured(tmp_path / f"{millions}.json", millions, strategy) for millions in sizes)
    for phase in ("start-up", "checkpoint", "resume"):
        took, share = (large[phase][name] - small[phase][name] for name in ("MB", "share"))
        assert share > 150
        assert took <= 1.1 * share, f"{phase}: {took} MB of {share}"


WORDS = [
    *("fit", "--config", "configs/quickstart.yaml", "--data.val", "null", "--data.test", "null"),
    *("--data.prompts_per_step", "4", "--model.group_size", "4", "--model.max_tokens", "24"),
    *("--trainer.devices", "2", "--trainer.strategy", "ddp", "--checkpoints.every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false", "--report.export", "false"),
]


def ranks(run_dir, *words):
    done = subprocess.run(
        [sys.executable, "-m", "observer", *WORDS, "--run_dir", str(run_dir), *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT)},
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.mark.slow
def test_a_rank_that_compared_no_check_sums_goes_on_from_where_rank_0_does(tmp_path):
    ranks(tmp_path / "run", "--trainer.max_steps", "2")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    weight = torch.load(last, weights_only=True)["state_dict"]["policy.model.lm_head.weight"]
    data = bytearray(last.read_bytes())
    data[data.index(weight.numpy().tobytes())] ^= 1
    last.write_bytes(data)
    said = ranks(tmp_path / "run", "--trainer.max_steps", "3", "--ckpt_path", "last")
    assert said.count("going on from previous.ckpt") == 1
    assert torch.load(last, weights_only=True)["global_step"] == 3
    unbroken = tmp_path / "unbroken"
    ranks(unbroken, "--trainer.max_steps", "3")
    expected = torch.load(unbroken / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in torch.load(last, weights_only=True)["state_dict"].items():
        assert torch.equal(value, expected[name]), name


def test_a_second_name_is_the_same_file_and_takes_the_place_of_another(tmp_path):
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    best.write_text("new")
    last.write_text("old")
    assert link_file(best, last)
    assert last.samefile(best)
    assert link_file(best, last), "it has that name already"
    assert sorted(tmp_path.iterdir()) == [best, last]
    assert not link_file(tmp_path / "none.ckpt", last)
    assert last.read_text() == "new"
