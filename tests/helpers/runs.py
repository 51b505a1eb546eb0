"""Small real runs: the shipped model on a few tiles, a handful of completions a step."""

from pathlib import Path

import lightning
import torch

from observer.callbacks import AtomicCheckpointIO, Completions, RunReport
from observer.curriculum import CurriculumCallback, Random
from observer.data import LadderDataModule, Tiles
from observer.learner import ObserveLearner
from observer.policy import PolicySpec
from observer.rewards import Observe

CHECKPOINT = str(Path(__file__).parents[2] / "observer" / "data" / "tiles" / "checkpoint")

RIGHT = "<observe> 1 </observe><think> 1 </think><answer> {answer} </answer>"
WRONG = "<observe> 1 </observe><think> 1 </think><answer> 99 </answer>"
MIXED = [RIGHT, WRONG, RIGHT.replace(" 1 <", " 1 2 3 <"), "nothing of the kind"]
"""Responses of a scripted engine: one group has a right one, a wrong one, a longer one and none."""


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def adam(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)


def learner(cls=ObserveLearner, **options):
    """A learner of the shipped model; options replace the small ones."""
    usual = {
        "policy": PolicySpec(CHECKPOINT),
        "response_format": Observe(system_prompt=""),
        "group_size": 4,
        "max_prompt_tokens": 64,
        "max_tokens": 48,
        "micro_batch": 8,
        "optimizer": adam,
    }
    if cls is not ObserveLearner:
        del usual["group_size"]
    return cls(**{**usual, **options})


def data_module(**options):
    """A data module of tiles; options replace the small ones."""
    usual = {
        "train": Tiles(rows=64),
        "val": Tiles(rows=8, split="val"),
        "test": Tiles(rows=8, split="test"),
        "prompts_per_step": 4,
        "steps_per_epoch": 2,
    }
    return LadderDataModule(**{**usual, **options})


def trainer(run_dir, max_steps, schedule=None, callbacks=(), **options):
    """A trainer on the CPU with the callbacks of a run, quiet."""
    usual = {
        "max_steps": max_steps,
        "default_root_dir": run_dir,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "plugins": [AtomicCheckpointIO()],
    }
    if any("Checkpoint" in base.__name__ for callback in callbacks for base in type(callback).__mro__):
        usual["enable_checkpointing"] = True
    kept = [
        CurriculumCallback(schedule or Random()),
        Completions(groups_per_step=None),
        RunReport(export=False),
    ]
    return lightning.Trainer(**{**usual, **options}, callbacks=[*kept, *callbacks])
