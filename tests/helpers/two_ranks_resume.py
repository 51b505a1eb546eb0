"""A script: a run on two ranks, and the same run gone on with from a checkpoint; ranks save how both end.

Usage: two_ranks_resume.py ROWS FOLDER
"""

import sys
import warnings
from pathlib import Path

import lightning
import torch

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import runs
from observer.callbacks import AtomicCheckpointIO
from observer.curriculum import AdaptiveTarget, CurriculumCallback
from observer.data import Jsonl
from observer.objective import Linear
from observer.rollout import ScriptedEngine

STEPS, UPDATES, AT = 3, 2, 1
"""Rollouts, optimizer steps of each, and the rollout whose checkpoint is gone on with."""


class ByRow(ScriptedEngine):
    """Even rows are all wrong: groups without signal."""

    def generate(self, prompts, sampling):
        groups = []
        for prompt in prompts:
            self.texts = runs.MIXED[:2] if prompt.problem.row % 2 else [runs.WRONG]
            groups += super().generate([prompt], sampling)
        return groups


class Watch(lightning.Callback):
    """Notes what each step drew and learned at, keeps a checkpoint, and saves what has to be equal."""

    def __init__(self, folder, name):
        self.folder, self.name, self.drawn, self.rates = folder, name, [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = pl_module.data.step
        rows = torch.tensor([group.problem.row for group in outputs["experience"].groups])
        drawn = pl_module.over_ranks.join(rows).tolist()
        if step > AT:
            self.drawn.append((step, drawn, pl_module.data.observed))
            self.rates.append((step, trainer.optimizers[0].param_groups[0]["lr"]))
        elif step == AT:
            trainer.save_checkpoint(self.folder / "step.ckpt")

    def on_train_end(self, trainer, pl_module):
        outcome = {
            "weights": pl_module.policy.state_dict(),
            "optimizer": list(pl_module.optimizers().state_dict()["state"].values()),
            "ladder": repr(pl_module.data.state_dict()),
            "drawn": self.drawn,
            "rates": self.rates,
        }
        torch.save(outcome, self.folder / f"{self.name}-{trainer.global_rank}.pt")


def fit(rows, folder, name, ckpt_path=None):
    learner = runs.learner(
        engine=ByRow(["-"]), group_size=2, resample=2, updates_per_rollout=UPDATES, learning_rate=Linear()
    )
    data = runs.data_module(train=Jsonl(rows), val=None, test=None, prompts_per_step=4, steps_per_epoch=2)
    trainer = lightning.Trainer(
        max_steps=STEPS * UPDATES,
        default_root_dir=folder,
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",  # what has been imported is there already
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[CurriculumCallback(AdaptiveTarget(start=0.3)), Watch(folder, name)],
    )
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    given, output = sys.argv[1], Path(sys.argv[2])
    fit(given, output, "whole")
    fit(given, output, "resumed", output / "step.ckpt")
