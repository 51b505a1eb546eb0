"""A policy that is cut over two ranks, each with a vLLM of its own: ten steps, killed and gone on with."""

import json
import os
import subprocess
import sys

import pytest

from processes import HUNG
from scoring import ROOT


@pytest.mark.vllm
def test_ten_steps_that_are_killed_go_on_with_the_same_rows_and_the_newest_weights(tmp_path):
    """Of tokens the engine promises none; on one machine they were the same too."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "cut_vllm.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HUNG,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ended"] == {"killed": [9, 9], "resumed": [0, 0]}, done.stderr[-3000:]
    of_both = []
    for killed, resumed, unbroken in zip(*told["steps"].values(), strict=True):
        assert list(killed) == [str(step) for step in range(8)]
        assert list(resumed) == [str(step) for step in range(6, 10)]
        assert list(unbroken) == [str(step) for step in range(10)]
        for steps in (killed, resumed):
            assert {step: drawn["rows"] for step, drawn in steps.items()} == {
                step: unbroken[step]["rows"] for step in steps
            }
        gaps = [drawn["gap"] for steps in (killed, resumed, unbroken) for drawn in steps.values()]
        learned = [gap for gap in gaps if gap is not None]
        assert len(learned) > 0.5 * len(gaps), "most steps have something to learn from"
        assert 0 < max(learned) < 1e-5, "log-probs of drawing are the trainer's in all of them"
        of_both.append([drawn["rows"] for drawn in unbroken.values()])
    assert all(set(one).isdisjoint(other) for one, other in zip(*of_both, strict=True))
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("run", "other")]
    assert [(found["status"], found["steps"]) for found in summaries] == [("complete", 10)] * 2
