"""Ranks that share one vLLM draw what one engine draws, for uneven work too, and fail together."""

import json
import re
import socket
import subprocess
import sys

import pytest

from observer.policy import PolicySpec
from observer.rollout import VLLM
from observer.rollout.vllm.ranks import refuse_heads
from observer.types import RefusedError
from processes import HUNG
from scoring import ROOT

CLOSE = 1e-4


def run(folder, ranks):
    """What each of some processes has found."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = [sys.executable, str(ROOT / "tests" / "helpers" / "vllm_shared.py")]
    files = [folder / f"{ranks}-{rank}.json" for rank in range(ranks)]
    started = [
        subprocess.Popen(
            [*script, str(rank), port, str(file), str(ranks)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for rank, file in enumerate(files)
    ]
    said = [process.communicate(timeout=HUNG)[1] for process in started]
    assert [process.returncode for process in started] == [0] * ranks, said
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.vllm
@pytest.mark.slow
def test_two_ranks_that_share_a_vllm_draw_what_one_does(tmp_path):
    (first, second), [alone] = run(tmp_path, 2), run(tmp_path, 1)
    for name in ("greedy", "usual", "old", "new", "after it"):
        assert first[name]["ids"] + second[name]["ids"] == alone[name]["ids"], name
    for found in (first, second):
        assert found["greedy"]["off"] < CLOSE
        assert found["usual"]["off"] < CLOSE
        assert found["old"]["off"] > 0.1
        assert max(found["new"]["off"], found["after it"]["off"], found["after a refusal"]["off"]) < CLOSE
    assert first["of one rank alone"]["ids"] == alone["of one rank alone"]["ids"]
    assert second["of one rank alone"]["ids"] == []
    for name in ("while another rests", "and again"):
        assert first[name]["ids"] == alone[name]["ids"]
        assert name not in second
    assert re.match(r"row '.*': its prompt has \d+ tokens, and with max_tokens 500 it is", second["refused"])
    assert first["refused"] == f"rank 1: {second['refused']}"
    assert second["failed"] == "MemoryError: no more"
    assert first["failed"] == "RuntimeError: another rank that shares its vLLM has failed"


@pytest.mark.parametrize(
    ("size", "ranks", "mend"),
    [
        (2, 1, "VLLM.tensor_parallel is 2, and one process cannot share it; set it to 1, or trainer.devices"),
        (4, 6, "VLLM.tensor_parallel is 4, and 6 processes cannot share it; set it to 1, 2, 3, 6, or"),
        (8, 4, "VLLM.tensor_parallel is 8, and 4 processes cannot share it; set it to 1, 2, 4, or"),
    ],
)
def test_ranks_that_cannot_share_are_refused(size, ranks, mend):
    with pytest.raises(RefusedError, match=re.escape(mend)):
        VLLM(tensor_parallel=size).refuse_ranks(ranks)
    VLLM(tensor_parallel=size).refuse_ranks(2 * size)


def test_one_process_is_refused_at_the_start_and_a_run_before_its_data(checkpoint):
    with pytest.raises(RefusedError, match=r"VLLM\.tensor_parallel is 2, and one process cannot share it"):
        VLLM(tensor_parallel=2).start(PolicySpec(str(checkpoint)))
    with pytest.raises(RefusedError, match=r"VLLM\.tensor_parallel is 0; it must be >= 1"):
        VLLM(tensor_parallel=0)


def test_a_model_that_cannot_be_cut_is_refused(policy):
    refuse_heads(2, policy.model.config)
    with pytest.raises(RefusedError, match=r"VLLM\.tensor_parallel is 3, and the model's attention heads \("):
        refuse_heads(3, policy.model.config)
