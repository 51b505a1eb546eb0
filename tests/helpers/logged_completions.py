"""A run on scripted completions that logs them."""

import json

import lightning

from observer.data.module import LadderDataModule
from observer.data.tiles.rows import Tiles
from observer.learner import ObserveLearner
from observer.rollout import ScriptedEngine
from pages import RIGHT, WRONG


def fit(tiny, folder, callback, steps, checkpoint=None, logger=False, learner=None):
    """Train on scripted completions; a checkpoint of the last step is in the folder."""
    if learner is None:
        engine = ScriptedEngine([RIGHT, WRONG, "<observe>"])
        options = {"group_size": 3, "max_tokens": 64, "engine": engine}
        learner = ObserveLearner(policy=tiny, **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=logger,
        callbacks=[callback],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        log_every_n_steps=1,
    )
    data = LadderDataModule(Tiles(rows=16), prompts_per_step=3)
    trainer.fit(learner, datamodule=data, ckpt_path=checkpoint)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")


def read(folder):
    return [
        json.loads(line) for line in (folder / "completions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
