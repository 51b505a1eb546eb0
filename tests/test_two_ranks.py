"""One rank and two ranks take the same steps, also when one of them sees only text; so does a resumed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bounds import GRADIENT, assert_same_gradient, rounding
from evaluated import evaluations
from processes import HUNG

HELPERS = Path(__file__).parent / "helpers"
SCRIPT = HELPERS / "two_ranks.py"
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture
def rows(tmp_path):
    return written(tmp_path, 4)


def written(tmp_path, size):
    """Easy rows with pictures, hard ones with text only: sorted, the second rank sees no picture."""
    lines = []
    for place in range(size):
        pixels = np.random.default_rng(place).integers(0, 256, (84, 84, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
        question, answer = "How many?" + " now" * (place % 4), str(place)
        lines.append({"question": question, "answer": answer, "difficulty": place / 2 / size})
        if place < size // 2:
            lines[-1]["images"] = [f"{place}.png"]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "rows.jsonl"


def run(rows, ranks, recipe):
    output = rows.parent / f"ranks-{ranks}" / "out.pt"
    output.parent.mkdir()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(rows), str(output), str(ranks), recipe],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["tokens", "sequences", "constant", "silent"])
def test_two_ranks_take_the_steps_of_one(rows, recipe, policy):
    one, two = run(rows, 1, recipe), run(rows, 2, recipe)
    assert one["weights"].keys() == two["weights"].keys()
    start, first, second = (
        torch.cat([weights[name.removeprefix("policy.")].flatten() for name in one["weights"]])
        for weights in (policy.state_dict(), one["weights"], two["weights"])
    )
    moved = first - start
    # Weights are large beside a step: what it leaves of their last digit is in both runs and in both steps.
    lost = 2**0.5 * 2**0.5 * rounding() * float(start.norm() / moved.norm())
    assert_same_gradient(second - start, moved, GRADIENT + lost)
    assert two["figures"] == pytest.approx(one["figures"], rel=1e-4, abs=1e-5)
    assert two["ladder"]["step"] == one["ladder"]["step"] == 2
    assert two["ladder"]["ladder"]["rows"].tolist() == one["ladder"]["ladder"]["rows"].tolist()
    assert (
        two["ladder"]["ladder"]["pass_rate_sums"].tolist()
        == one["ladder"]["ladder"]["pass_rate_sums"].tolist()
    )


@pytest.mark.slow
def test_a_rank_that_waits_for_another_moves_no_vision_tower(rows, policy):
    """It passes a group with a picture back, times 0, while the other rank learns from text alone."""
    after, start = run(rows, 2, "waiting")["weights"], policy.state_dict()
    moved = {name for name in after if not torch.equal(after[name], start[name.removeprefix("policy.")])}
    assert moved == {name for name in after if ".visual." not in name}


@pytest.mark.whole
def test_a_resumed_run_of_two_ranks_is_the_unbroken_one(tmp_path):
    rows = written(tmp_path, 24)
    done = subprocess.run(
        [sys.executable, str(HELPERS / "two_ranks_resume.py"), str(rows), str(tmp_path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (
        [torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for name in ("whole", "resumed")]
        for rank in range(2)
    )
    for whole, resumed in (first, second):
        assert whole["drawn"]
        assert any(len(tried) > len(rows) for _, rows, (tried, _) in whole["drawn"]), "nothing was replaced"
        for name in ("drawn", "rates", "ladder"):
            assert resumed[name] == whole[name], name
        assert_same(resumed["weights"], whole["weights"])
        assert len(whole["optimizer"]) == len(resumed["optimizer"]) > 0
        for own, other in zip(whole["optimizer"], resumed["optimizer"], strict=True):
            assert_same(own, other)
    assert first[0]["drawn"] == second[0]["drawn"]
    assert_same(first[0]["weights"], second[0]["weights"])


@pytest.mark.slow
def test_two_ranks_of_a_plain_trainer_measure_each_held_out_row_once(tmp_path):
    """Lightning's own sampler would share out the rows of a rank once more."""
    kept = []
    for ranks in (1, 2):
        output = tmp_path / str(ranks) / "out.pt"
        output.parent.mkdir()
        words = [sys.executable, str(HELPERS / "two_ranks_held_out.py"), str(output), str(ranks), "9"]
        done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        kept.append(torch.load(output, weights_only=True))
    one, two = evaluations(tmp_path / "1"), evaluations(tmp_path / "2")
    assert two[:2] == one[:2], "the same rows in the same order, none of them twice"
    assert two[2] == pytest.approx(one[2], rel=1e-4)
    for verb in ("validate", "test", "fit"):
        one, two = (
            {name: value for name, value in run[verb].items() if name.startswith(("val/", "test/"))}
            for run in kept
        )
        assert {value for name, value in two.items() if name.endswith("problems")} == {9.0}
        assert two == one


def assert_same(one, other):
    """Equal bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
