"""A script: runs whose policy is cut over two ranks, against runs on one; prints what all of them come to.

Usage: cut_ranks.py FOLDER KIND
"""

import json
import os
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import runs
from observer.callbacks import RunReport, checkpoint_callbacks
from observer.curriculum import CurriculumCallback, Sorted
from observer.data import Jsonl
from observer.objective import K3
from observer.policy import Lora, PolicySpec
from observer.rollout import ScriptedEngine

UPDATES, STEPS, KILLED = 2, 3, 2
"""Optimizer steps of a rollout, rollouts, and the rollout in which a run is killed."""


class ByRow(ScriptedEngine):
    """Rows with a picture are all wrong: their rank has nothing to learn from, and waits."""

    def generate(self, prompts, sampling):
        groups = []
        for prompt in prompts:
            self.texts = [runs.WRONG] if prompt.pictures and sampling.step else runs.MIXED
            groups += super().generate([prompt], sampling)
        return groups


class Kill(lightning.Callback):
    """Kills its process, as the system does, when a rollout begins."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if pl_module.data.step == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)


def fit(folder, cut, options, ckpt_path=None, callbacks=()):
    torch.set_num_threads(1)
    updates = options.get("updates_per_rollout", UPDATES)
    learner = runs.learner(
        **{"engine": ByRow(runs.MIXED), "updates_per_rollout": updates, "micro_batch": 2, **options}
    )
    data = runs.data_module(
        train=Jsonl(str(folder.parent / "rows.jsonl")),
        val=None,
        test=None,
        prompts_per_step=4,
        steps_per_epoch=3,
    )
    trainer = lightning.Trainer(
        max_steps=STEPS * updates,
        default_root_dir=folder,
        accelerator="cpu",
        devices=2 if cut else 1,
        strategy=ModelParallelStrategy() if cut else "auto",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            CurriculumCallback(Sorted()),
            RunReport(),
            *checkpoint_callbacks(folder, updates, validates=False),
            *callbacks,
        ],
    )
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)


def on_two_ranks(what):
    """Call a function in two copies of this process; return how they ended."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port, children = taken.getsockname()[1], []
    for rank in range(2):
        if not (child := os.fork()):
            os.environ |= {
                "LOCAL_RANK": str(rank),
                "NODE_RANK": "0",
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            code = 1
            try:
                what()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def write_rows(folder):
    """Easy rows with pictures, hard ones without: sorted, the second rank sees no picture."""
    lines = []
    for place in range(12):
        pixels = np.random.default_rng(place).integers(0, 256, (84, 84, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")
        seen = {"images": [f"{place}.png"]} if place < 6 else {}
        lines.append({"question": "How many?", "answer": str(place), "difficulty": place / 24, **seen})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))


KINDS = {
    "whole": {"policy": PolicySpec(runs.CHECKPOINT)},
    "adapters": {
        "policy": PolicySpec(runs.CHECKPOINT, lora=Lora(rank=2, alpha=4), gradient_checkpointing=True),
        "kl": K3(coefficient=0.1),
    },
    "frozen": {
        "policy": PolicySpec(runs.CHECKPOINT, freeze_vision=True),
        "kl": K3(coefficient=0.1),
        # What ranks cut into several updates are other parts than one cuts, and Adam makes a whole step of
        # a gradient that is nothing but rounding.
        "updates_per_rollout": 1,
        "optimizer": runs.sgd,
    },
}


def main(folder, kind):
    write_rows(folder)
    options = KINDS[kind]
    last = str(folder / "killed" / "checkpoints" / "last.ckpt")
    ended = {"cut": on_two_ranks(lambda: fit(folder / "cut", True, options))}
    fit(folder / "one", False, options)
    if kind != "frozen":
        ended["killed"] = on_two_ranks(lambda: fit(folder / "killed", True, options, None, [Kill()]))
        (folder / "before.ckpt").write_bytes(Path(last).read_bytes())
        ended["resumed"] = on_two_ranks(lambda: fit(folder / "killed", True, options, last))
        fit(folder / "fewer", False, options, str(folder / "before.ckpt"))
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
