"""One rank and two ranks take the same steps, also when one of them sees only text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SCRIPT = Path(__file__).parent / "two_ranks.py"


@pytest.fixture
def rows(tmp_path):
    """Easy rows with pictures, hard ones with text only: sorted, the second rank sees no picture."""
    lines = []
    for place in range(4):
        pixels = np.random.default_rng(place).integers(0, 256, (84, 84, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
        lines.append(
            {"question": "How many?" + " now" * place, "answer": str(place), "difficulty": place / 8}
        )
        if place < 2:
            lines[-1]["images"] = [f"{place}.png"]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "rows.jsonl"


def run(rows, ranks, recipe):
    output = rows.parent / f"ranks-{ranks}" / "out.pt"
    output.parent.mkdir()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(rows), str(output), str(ranks), recipe],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["tokens", "sequences", "constant"])
def test_two_ranks_take_the_steps_of_one(rows, recipe):
    one, two = run(rows, 1, recipe), run(rows, 2, recipe)
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert two["figures"] == pytest.approx(one["figures"], rel=1e-4, abs=1e-5)
    assert two["ladder"]["step"] == one["ladder"]["step"] == 2
    assert two["ladder"]["ladder"]["rows"].tolist() == one["ladder"]["ladder"]["rows"].tolist()
    assert (
        two["ladder"]["ladder"]["pass_rate_sums"].tolist()
        == one["ladder"]["ladder"]["pass_rate_sums"].tolist()
    )
