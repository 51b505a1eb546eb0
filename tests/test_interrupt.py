import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch import Callback

from observer.callbacks.interrupt import GracefulStop
from observer.run.checkpoints import newest_checkpoint
from observer.types import RefusedError
from processes import HUNG
from tiny_run import Log, Tiny, TinyData, fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of .list. across ranks is zero"),
]

HELPERS = Path(__file__).parent / "helpers"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def send(*signums):
    return lambda: [signal.raise_signal(signum) for signum in signums]


def rollouts_in(run_dir):
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["TinyData"]["step"]


def weights(module):
    return {name: value.tolist() for name, value in module.state_dict().items()}


def stopped(run_dir, at, **options):
    """Run until a signal stops it; return the module and the exit code."""
    module = Tiny(at=at)
    with pytest.raises(SystemExit) as stop:
        fit(run_dir, module=module, **options)
    return module, stop.value.code


# One process

# (word, rollouts finished) at which the signal comes -> rollouts finished in the checkpoint
MOMENTS = {
    ("update 0", 0): 1,
    ("update 1", 1): 2,
    ("update 0", 2): 3,
    ("rollout", 3): 3,
    ("validate", 3): 3,
    ("update 0", 3): 4,
}


WITHOUT_VALIDATION = [moment for moment in MOMENTS if moment[0] != "validate"]


@pytest.mark.parametrize(
    ("moment", "validates"), [(m, True) for m in MOMENTS] + [(m, False) for m in WITHOUT_VALIDATION], ids=str
)
def test_a_signal_stops_the_run_after_the_rollout_and_it_goes_on_as_if_unbroken(tmp_path, moment, validates):
    unbroken = fit(tmp_path / "unbroken", validates=validates)
    first, code = stopped(tmp_path / "run", {moment: send(signal.SIGINT)}, validates=validates)
    assert code == 130
    assert rollouts_in(tmp_path / "run") == MOMENTS[moment]
    resumed = fit(tmp_path / "run", newest_checkpoint(tmp_path / "run"), validates=validates)
    assert first.story + resumed.story == unbroken.story, "an update or a validation is lost or made twice"
    assert first.figures + resumed.figures == unbroken.figures, "a step's figures did not reach the loggers"
    assert weights(resumed) == weights(unbroken)


def test_sigterm_exits_with_143_and_is_told_apart(tmp_path):
    stop = []

    class Watch(Callback):
        def on_exception(self, trainer, pl_module, exception):
            stop.extend(c.interrupted for c in trainer.callbacks if isinstance(c, GracefulStop))

    _, code = stopped(tmp_path, {("update 0", 1): send(signal.SIGTERM)}, extra=[Watch()])
    assert (code, stop, rollouts_in(tmp_path)) == (143, [signal.SIGTERM], 2)


def test_a_second_sigint_stops_at_once_and_leaves_the_checkpoint_before(tmp_path, capfd):
    first, code = stopped(tmp_path, {("update 0", 2): send(signal.SIGINT, signal.SIGINT)}, every=2)
    assert code == 130
    assert first.story[-1] == ("update 0", 2)
    assert rollouts_in(tmp_path) == 2
    told = "finishing this step, then saving; press Ctrl-C again to stop at once"
    assert capfd.readouterr().err.count(told) == 1


def test_a_second_sigterm_changes_nothing(tmp_path):
    _, code = stopped(tmp_path, {("update 0", 2): send(signal.SIGINT, signal.SIGTERM, signal.SIGTERM)})
    assert (code, rollouts_in(tmp_path)) == (130, 3)


def test_a_signal_in_the_last_step_lets_the_run_complete(tmp_path):
    unbroken = fit(tmp_path / "unbroken")
    module = fit(tmp_path / "run", at={("update 0", 5): send(signal.SIGINT)})
    assert weights(module) == weights(unbroken)
    assert rollouts_in(tmp_path / "run") == 6


def test_sigterm_before_the_first_step_stops_before_it(tmp_path):
    class Slow(Callback):
        def on_train_start(self, trainer, pl_module):
            signal.raise_signal(signal.SIGTERM)

    module, code = stopped(tmp_path, {}, extra=[Slow()])
    assert (code, module.story) == (143, [])


@pytest.mark.parametrize("at", [{}, {("update 0", 1): send(signal.SIGINT)}], ids=["complete", "stopped"])
def test_the_handlers_from_before_are_back_afterwards(tmp_path, at):
    before = [signal.getsignal(signum) for signum in SIGNALS]
    inside = []

    class Watch(Callback):
        def on_train_batch_end(self, *_):
            inside.extend(signal.getsignal(signum) for signum in SIGNALS)

    stopped(tmp_path, at, extra=[Watch()]) if at else fit(tmp_path, extra=[Watch()])
    assert [signal.getsignal(signum) for signum in SIGNALS] == before
    assert not set(inside) & set(before)


# On a cluster

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "train",
    **{f"SLURM_{name}": "1" for name in ("NTASKS", "NTASKS_PER_NODE", "NNODES")},
    **{f"SLURM_{name}": "0" for name in ("PROCID", "LOCALID", "NODEID")},
}


@pytest.fixture
def requeued(tmp_path, monkeypatch):
    """A SLURM job; the path is there when somebody has called scontrol."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "scontrol").write_text(f"#!/bin/sh\ntouch {tmp_path / 'requeued'}\n")
    (programs / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "requeued"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("moment", [("update 0", 2), ("rollout", 3)], ids=str)
def test_a_slurm_job_stops_between_rollouts_and_leaves_the_requeueing_to_its_script(
    tmp_path, requeued, signum, moment
):
    """Lightning's own way would save in the middle of a step, beside the checkpoints, and requeue at once."""
    unbroken = fit(tmp_path / "unbroken")
    first, code = stopped(tmp_path / "run", {moment: send(signum)})
    assert code == 128 + signum
    assert not requeued.exists()
    assert [path.name for path in (tmp_path / "run").rglob("*.ckpt") if path.name.startswith("hpc")] == []
    resumed = fit(tmp_path / "run", newest_checkpoint(tmp_path / "run"))
    assert first.story + resumed.story == unbroken.story
    assert weights(resumed) == weights(unbroken)


def batch_script():
    """The one of docs/runs.md."""
    docs = (HELPERS.parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n#SBATCH.*?)^```", docs, re.DOTALL | re.MULTILINE)
    return script


@pytest.mark.parametrize("code", [0, 1, 143])
def test_the_batch_script_of_the_documentation_resumes_and_requeues_a_run_that_was_stopped(
    tmp_path, requeued, code
):
    (tmp_path / "bin" / "srun").write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    (tmp_path / "bin" / "srun").chmod(0o755)

    def submit():
        done = subprocess.run(["bash", "-c", batch_script()], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code
        assert requeued.exists() == (code == 143)
        return done.stdout

    fresh = "observer fit --config configs/quickstart.yaml --run_dir runs/mine"
    assert submit() == f"{fresh}\n"
    (tmp_path / "runs" / "mine" / "checkpoints").mkdir(parents=True)
    assert submit() == f"{fresh}\n"
    (tmp_path / "runs" / "mine" / "checkpoints" / "last.ckpt").touch()
    assert submit() == f"{fresh} --ckpt_path last\n"


def test_a_handler_of_sigusr1_that_is_in_use_is_left_alone(tmp_path):
    used = []
    before = signal.signal(signal.SIGUSR1, lambda *_: used.append(1))
    try:
        fit(tmp_path, at={("update 0", 1): send(signal.SIGUSR1)})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert used == [1]
    assert rollouts_in(tmp_path) == 6


def test_without_the_callback_that_saves_it_refuses(tmp_path):
    run = lightning.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", logger=Log(), enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        callbacks=[GracefulStop()], max_steps=2,
    )  # fmt: skip
    with pytest.raises(RefusedError, match="needs the callback Last"):
        run.fit(Tiny(), datamodule=TinyData())


# Real processes

PROCESS = """
    import os, signal, sys, warnings
    sys.path.insert(0, sys.argv[1])
    warnings.simplefilter("ignore")
    import torch
    from tiny_run import fit
    torch.set_num_threads(1)

    def scenario(name, *signums):
        if not (child := os.fork()):
            def kill():
                for signum in signums:
                    os.kill(os.getpid(), signum)
            fit(f"{sys.argv[2]}/{name}", at={("update 0", 1): kill}, every=2)
        print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

    scenario("interrupted", signal.SIGINT)
    scenario("terminated", signal.SIGTERM)
    scenario("at-once", signal.SIGINT, signal.SIGINT)
"""


@pytest.mark.slow  # what one process shows of each is tested above
def test_exit_codes_and_the_message_of_real_processes(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), HELPERS, tmp_path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HUNG)
    assert done.stdout.split() == ["interrupted", "130", "terminated", "143", "at-once", "130"]
    assert done.stderr.count("finishing this step, then saving; press Ctrl-C again to stop at once") == 3
    saved = [rollouts_in(tmp_path / name) for name in ("interrupted", "terminated", "at-once")]
    assert saved == [2, 2, 1]


RANKS = """
    import os, signal, sys, warnings
    sys.path.insert(0, sys.argv[1])
    warnings.simplefilter("ignore")
    import torch
    from tiny_run import Tiny, TinyData, trainer
    torch.set_num_threads(1)

    signums = [getattr(signal, name) for name in sys.argv[3:]]
    def kill():
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            for signum in signums:
                os.kill(os.getpid(), signum)
    run = trainer(sys.argv[2], every=2, devices=2, strategy="ddp")
    run.fit(Tiny(at={("update 0", 1): kill}), datamodule=TinyData())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "code", "saved"),
    [(["SIGINT"], 130, 2), (["SIGTERM"], 143, 2), (["SIGINT", "SIGINT"], 130, 1)],
)
def test_all_ranks_stop_when_one_gets_the_signal(tmp_path, signals, code, saved):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(RANKS))
    command = [sys.executable, script, HELPERS, tmp_path, *signals]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG)
    assert (done.returncode, rollouts_in(tmp_path)) == (code, saved), done.stderr
    assert done.stderr.count("finishing this step") == 1
    left = subprocess.run(["pgrep", "-f", str(script)], capture_output=True, text=True).stdout.split()
    assert left == [], "a rank is left behind"
