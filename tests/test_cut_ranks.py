"""A policy that is cut over two ranks: the gradient of one, runs that go on bit for bit, files of any run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from observer.policy import export_checkpoint
from observer.run.checkpoints import check_checkpoint
from processes import HUNG

HELPERS = Path(__file__).parent / "helpers"
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
CLOSE = 1e-5
STEPS_CLOSE = 1e-3
"""Of optimizer steps, whose weights are large beside what a step leaves of their last digits."""


def told(script, *words):
    done = subprocess.run(
        [sys.executable, str(HELPERS / script), *map(str, words)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.whole
def test_two_ranks_read_their_parts_and_have_the_gradient_of_one():
    """Also where one of them sees text alone, in fewer passes, and with adapters, on the vision tower too."""
    both, _ = told("cut_gradients.py")
    for found in both:
        for kind, off in found.items():
            assert off["gradient"] < CLOSE, kind
            assert off["moved"] < STEPS_CLOSE, kind
            assert off["reference"] < CLOSE, kind


def last_checkpoint(folder):
    path = folder / "checkpoints" / "last.ckpt"
    check_checkpoint(path)
    return torch.load(path, weights_only=True, map_location="cpu")


def assert_same(one, other, where=""):
    """Equal bit for bit."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name, value in one.items():
            assert_same(value, other[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, value in enumerate(one):
            assert_same(value, other[place], f"{where}.{place}")
    else:
        assert one == other, where


def weights_in(folder):
    return {
        f"{path.relative_to(folder)}:{name}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "adapters", "frozen"])
def test_a_run_that_is_cut_goes_on_after_kill_9_and_its_files_are_those_of_any_run(kind, tmp_path, policy):
    ended, said = told("cut_ranks.py", tmp_path, kind)
    assert ended["cut"] == [0, 0], said[-3000:]
    cut, one = last_checkpoint(tmp_path / "cut"), last_checkpoint(tmp_path / "one")
    assert cut["state_dict"].keys() == one["state_dict"].keys()
    assert cut["environment"]["start"] == one["environment"]["start"]
    for (name, weight), other in zip(cut["state_dict"].items(), one["state_dict"].values(), strict=True):
        assert weight.shape == other.shape, name
    assert_same(cut["LadderDataModule"]["ladder"], one["LadderDataModule"]["ladder"])
    if kind == "frozen":  # of the others no steps are to be the same
        start = {f"policy.{name}": weight for name, weight in policy.state_dict().items()}
        off, moved = (
            torch.cat([(after[name] - before[name]).flatten() for name in start])
            for after, before in ((cut["state_dict"], one["state_dict"]), (one["state_dict"], start))
        )
        assert moved.norm() > 0
        assert off.norm() < STEPS_CLOSE * moved.norm()

    export_checkpoint(tmp_path / "cut" / "checkpoints" / "last.ckpt", tmp_path / "exported")
    assert_same(weights_in(tmp_path / "cut" / "export"), weights_in(tmp_path / "exported"))
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "cut" / "export" / name).read_text() == (tmp_path / "exported" / name).read_text()

    if kind == "frozen":
        return
    assert ended["killed"] == [9, 9]
    assert ended["resumed"] == [0, 0], said[-3000:]
    resumed = last_checkpoint(tmp_path / "killed")
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "LadderDataModule", "global_step"):
        assert_same(resumed[name], cut[name], name)
    fewer = json.loads((tmp_path / "fewer" / "summary.json").read_text())
    assert (fewer["status"], fewer["steps"]) == ("complete", 3), "one rank goes on from what two have written"


@pytest.mark.slow
def test_a_cold_start_that_is_cut_takes_the_steps_of_one_rank_and_its_checkpoint_is_measured(
    tmp_path, checkpoint
):
    """``save_pretrained`` is called by all ranks, and one writes; ``predict`` answers each row once."""
    ended, said = told("cut_commands.py", tmp_path)
    assert ended == {verb: [0, 0] for verb in ("cold start", "validate", "test", "predict")}, said[-3000:]
    start, cut, one = (
        weights_in(folder) for folder in (checkpoint, tmp_path / "cut/saved", tmp_path / "one/saved")
    )
    assert start.keys() == cut.keys() == one.keys()
    off, moved = (
        torch.cat([(after[name] - before[name]).flatten() for name in one])
        for after, before in ((cut, one), (one, start))
    )
    assert moved.norm() > 0
    assert off.norm() < STEPS_CLOSE * moved.norm()
    predicted = [json.loads(line)["id"] for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert predicted == [f"tiles-test-{row}" for row in range(9)]
