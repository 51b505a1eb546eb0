"""A script: ten steps drawn with vLLM by a policy that is cut over two ranks: killed, gone on with, unbroken.

Prints how the ranks ended, and by run and rank what each step drew: its rows, and how far the log-probs of
vLLM were from those of the trainer. Usage: cut_vllm.py FOLDER
"""

import json
import os
import signal
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import lightning
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

import runs
from cut_ranks import on_two_ranks
from observer.callbacks import checkpoint_callbacks
from observer.rollout import VLLM
from observer.rollout.vllm.process import ENVIRONMENT
from observer.rollout.vllm.undisturbed import undisturbed
from observer.run.checkpoints import newest_checkpoint

STEPS, SAVED, KILLED = 10, 3, 8
"""Rollouts, those between checkpoints, and the one in which a run is killed."""


class Drawn(lightning.Callback):
    """Writes down each step, and kills its process, as the system does, when a given one begins."""

    def __init__(self, output, killed):
        self.output, self.killed, self.steps = output, killed, {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if pl_module.data.step == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        groups = outputs["experience"].groups
        self.steps[pl_module.data.step - 1] = {
            "rows": [group.problem.id for group in groups],
            "texts": [completion.text for group in groups for completion in group.completions],
            "gap": outputs["update"].get("sampler_gap"),  # none without a signal
        }
        Path(f"{self.output}-{trainer.global_rank}.json").write_text(json.dumps(self.steps))


def slow(parameters):
    return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)


def fit(run_dir, name, killed=None, ckpt_path=None):
    torch.set_num_threads(1)
    trainer = runs.trainer(
        run_dir,
        STEPS,
        callbacks=[
            *checkpoint_callbacks(run_dir, SAVED, validates=False),
            Drawn(run_dir.with_name(name), killed),
        ],
        devices=2,
        strategy=ModelParallelStrategy(),
        plugins=[],
    )
    learner = runs.learner(engine=VLLM(), optimizer=slow)
    data = runs.data_module(val=None, test=None, steps_per_epoch=STEPS, prompts_per_step=8)
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)


def go_on(folder):
    """Go on with what was killed, and then run anew: a process has one vLLM, which takes seconds to start."""
    fit(folder / "run", "resumed", ckpt_path=newest_checkpoint(folder / "run"))
    fit(folder / "other", "unbroken")


def main(folder):
    with undisturbed(dict(ENVIRONMENT)):
        from vllm import LLM  # noqa: F401 - once, and not by each rank of each run
    ended = {
        "killed": on_two_ranks(lambda: fit(folder / "run", "killed", KILLED)),
        "resumed": on_two_ranks(lambda: go_on(folder)),
    }
    steps = {
        name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(2)]
        for name in ("killed", "resumed", "unbroken")
    }
    print(json.dumps({"ended": ended, "steps": steps}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
