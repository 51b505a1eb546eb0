"""A run over two nodes, as SLURM starts it: two network namespaces of this machine, a cable between them."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from processes import HUNG
from scoring import ROOT

pytestmark = pytest.mark.slow
ADDRESSES = ("10.217.0.1", "10.217.0.2")
WORDS = [
    *("fit", "--config", "configs/quickstart.yaml", "--data.prompts_per_step", "4", "--data.val", "null"),
    *("--data.test", "null", "--completions.groups_per_step", "null", "--model.group_size", "4"),
    # A rate that falls would go by the end of the run, which is another one for the part that is resumed.
    *("--model.learning_rate", "Constant", "--model.max_tokens", "24", "--report.export", "false"),
    *("--trainer.enable_progress_bar", "false", "--trainer.strategy", "ddp"),
    *("--checkpoints.every_n_steps", "1"),
]


@pytest.fixture
def nodes():
    """Two namespaces and the interface of each; skips where this user may make none."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are for root alone")
    if shutil.which("ip") is None:
        pytest.skip("there is no ip, of iproute2")
    names = [f"observer-{os.getpid()}-{node}" for node in range(2)]
    ends = [f"ob{os.getpid()}{node}" for node in "ab"]

    def ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")

    try:
        for name in names:
            ip("netns", "add", name)
        ip(
            "link",
            "add",
            ends[0],
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            names[1],
        )
        for name, end, address in zip(names, ends, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", end, "up")
        yield list(zip(names, ends, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def environment(**more):
    """That of a process of its own, without what another launcher may have said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def on_two_nodes(nodes, run_dir, *more):
    """Run a fit with one task on each node, as srun does; what each says is beside the run directory."""
    words = [*WORDS, "--run_dir", str(run_dir), "--trainer.num_nodes", "2", "--trainer.devices", "1", *more]
    ranks = []
    for rank, (name, end) in enumerate(nodes):
        told = {
            "JOB_ID": 7,
            "JOB_NAME": "train",
            "STEP_ID": 0,
            "NNODES": 2,
            "NTASKS": 2,
            "NTASKS_PER_NODE": 1,
        }
        told |= {"PROCID": rank, "NODEID": rank, "LOCALID": 0}
        slurm = {f"SLURM_{name}": str(value) for name, value in told.items()}
        with run_dir.with_suffix(f".{rank}.out").open("w") as out:
            ranks.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", name, sys.executable, "-m", "observer", *words],
                    cwd=ROOT,
                    env=environment(**slurm, MASTER_ADDR=ADDRESSES[0], GLOO_SOCKET_IFNAME=end),
                    stdout=out,
                    stderr=out,
                )
            )
    try:
        codes = [process.wait(timeout=HUNG) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    said = [run_dir.with_suffix(f".{rank}.out").read_text() for rank in range(2)]
    assert codes == [0, 0], said
    return said


def test_two_nodes_train_as_two_ranks_of_one_machine_do_and_go_on(nodes, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    words = [*WORDS, "--run_dir", str(here), "--trainer.devices", "2", "--trainer.max_steps", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "observer", *words],
        cwd=ROOT,
        env=environment(MASTER_ADDR="127.0.0.1"),
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr
    on_two_nodes(nodes, there, "--trainer.max_steps", "2")
    said = on_two_nodes(nodes, there, "--trainer.max_steps", "3", "--ckpt_path", "last")
    assert "GLOBAL_RANK: 1, MEMBER: 2/2" in said[1]
    one, other = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (here, there))
    assert one["global_step"] == other["global_step"] == 3
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, other["state_dict"][name]), name
    assert (here / "completions.jsonl").read_text() == (there / "completions.jsonl").read_text()
    assert json.loads((there / "summary.json").read_text())["steps"] == 3
