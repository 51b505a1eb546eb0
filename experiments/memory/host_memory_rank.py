"""One rank of ``host_memory.py``: ``observer fit`` while a thread reads this process's anonymous memory."""

import json
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

SECONDS = 0.005
TEXTS = [
    "<observe> 1 </observe><think> 1 </think><answer> {answer} </answer>",
    "<observe> 1 2 3 </observe><think> 1 </think><answer> 1 </answer>",
]


def anonymous():
    """Return the anonymous memory of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


class Sampler(threading.Thread):
    """Keeps the peak of each phase of this process."""

    def __init__(self):
        super().__init__(daemon=True)
        self.phase, self.peaks = "imports", {}
        self.start()

    def run(self):
        """Look until the process ends."""
        while True:
            self.look()
            time.sleep(SECONDS)

    def look(self):
        """Read the memory once."""
        phase, now = self.phase, anonymous()
        self.peaks[phase] = max(now, self.peaks.get(phase, 0))

    def enter(self, phase):
        """Begin a phase; return the one before."""
        self.look()
        before, self.phase = self.phase, phase
        self.look()
        return before

    @contextmanager
    def during(self, phase):
        """Have a phase inside, and then the one before again."""
        before = self.enter(phase)
        yield
        self.enter(before)


def words(model, run_dir, ranks, strategy, reference, resumed):
    """Return the command line of a run."""
    texts = {"class_path": "ScriptedEngine", "init_args": {"texts": TEXTS}}
    given = ["--model.engine", json.dumps(texts), "--model.policy.path", str(model)]
    given += ["--data.prompts_per_step", "2", "--data.steps_per_epoch", "2", "--data.eval_batch", "8"]
    given += ["--data.val.rows", "8", "--data.test", "null", "--model.group_size", "2"]
    given += ["--trainer.devices", str(ranks), "--trainer.max_steps", "3" if resumed else "2"]
    given += ["--trainer.strategy", strategy, "--trainer.enable_progress_bar", "false"]
    given += ["--report.export", "false"]
    if reference:
        given += ["--model.kl", "K3"]
    if resumed:
        given += ["--ckpt_path", "last"]
    return ["fit", "--config", "quickstart", "--run_dir", str(run_dir), *given]


def watch(sampler, resumed):
    """Let the trainer say which phase it is in."""
    from lightning import Callback, Trainer

    from observer.cli.run import RunCLI

    class Phases(Callback):
        def on_train_start(self, trainer, pl_module):
            sampler.enter("between")

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            sampler.enter("step after resuming" if resumed else "step")

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            sampler.enter("between")

    build, save = RunCLI.instantiate_trainer, Trainer.save_checkpoint

    def built(cli, **options):
        trainer = build(cli, **options)
        trainer.callbacks.insert(0, Phases())
        return trainer

    def saved(trainer, *arguments, **options):
        with sampler.during("checkpoint" if trainer.global_step else "first checkpoint"):
            save(trainer, *arguments, **options)

    RunCLI.instantiate_trainer, Trainer.save_checkpoint = built, saved


def work(resumed, run_dir, **options):
    """Run in this process, one of the ranks; leave its peaks by phase beside the run directory."""
    from observer.cli import main

    sampler = Sampler()
    watch(sampler, resumed)
    sampler.enter("resume" if resumed else "start-up")
    if code := main(words(resumed=resumed, run_dir=run_dir, **options)):
        raise SystemExit(code)
    rank, kind = os.environ.get("LOCAL_RANK", "0"), "resumed" if resumed else "first"
    record = {"peaks": sampler.peaks, "modules": sorted(sys.modules)}
    Path(f"{run_dir}-{kind}-{rank}.json").write_text(json.dumps(record))


def imported(modules):
    """Import modules; return the anonymous memory of this process then."""
    for name in modules:
        with suppress(Exception):
            import_module(name)
    return anonymous()


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    if "modules" in task:
        print(imported(json.loads(Path(task["modules"]).read_text())["modules"]))
    else:
        work(**task)
