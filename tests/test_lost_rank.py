"""A rank whose neighbour is gone says so in one line of its own, above the trace of the library."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from observer.cli.app import lost_rank
from observer.run.waiting import started_as

ROOT = Path(__file__).parent.parent
WORDS = [
    *("fit", "--config", "configs/quickstart.yaml", "--trainer.max_steps", "500", "--data.val", "null"),
    *("--data.test", "null", "--data.prompts_per_step", "4", "--model.group_size", "4"),
    *("--model.max_tokens", "24", "--trainer.devices", "2", "--trainer.accelerator", "cpu"),
    *("--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false"),
]


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (
            RuntimeError("[/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:8106"),
            True,
        ),
        (RuntimeError("NCCL error: ncclRemoteError: A call failed possibly due to a network error"), True),
        (RuntimeError("[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_what_the_libraries_say_of_a_lost_rank_is_known(error, lost):
    assert lost_rank(error) is lost


@pytest.mark.parametrize(
    ("told", "rank", "ranks"),
    [
        ({}, 0, 1),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, 1, 2),
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "1", "RANK": "3"}, 3, 4),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}, 3, 4),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 0, 1),  # in the batch script, beside its steps
    ],
)
def test_a_process_knows_its_rank_from_whoever_has_started_it(told, rank, ranks, monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_RANK", "RANK", "SLURM_STEP_ID", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert started_as() == (rank, ranks)


def child_of(process):
    """The other rank, which the first one has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


@pytest.mark.slow
def test_a_killed_rank_is_one_line_above_the_trace_of_the_other(tmp_path):
    observer, run_dir = Path(sys.executable).with_name("observer"), tmp_path / "run"
    with open(tmp_path / "err", "w") as said:
        process = subprocess.Popen(
            [observer, *WORDS, "--run_dir", str(run_dir)],
            stdout=said,
            stderr=said,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT)},
        )
        try:
            while process.poll() is None and not list(run_dir.glob("checkpoints/last.ckpt")):
                time.sleep(0.1)
            other = child_of(process)
            os.kill(other, signal.SIGKILL)
            assert process.wait(timeout=120) != 0
        finally:
            process.kill()
            process.wait()
    lines = (tmp_path / "err").read_text().splitlines()
    ours = next(place for place, line in enumerate(lines) if "rank 0 has lost another rank" in line)
    assert "go on with --ckpt_path last" in lines[ours]
    assert not any("Traceback" in line for line in lines[:ours])
    assert any("Traceback" in line for line in lines[ours:])
