"""A script: validates and fits on ranks with a trainer as Python users write it; rank 0 saves the figures.

Usage: two_ranks_held_out.py OUTPUT RANKS ROWS
"""

import sys
import warnings
from pathlib import Path

import lightning
import torch

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import runs
from observer.callbacks import RunReport
from observer.data import Tiles
from observer.rollout import ScriptedEngine


def main(output, ranks, rows):
    torch.set_num_threads(1)
    kept = {}
    for verb in ("validate", "test", "fit"):
        held_out = {name: Tiles(rows=rows, split=name) for name in ("val", "test")}
        data = runs.data_module(**held_out, prompts_per_step=2, steps_per_epoch=1, eval_batch=2)
        learner = runs.learner(engine=ScriptedEngine([runs.RIGHT, runs.WRONG]), group_size=2)
        trainer = lightning.Trainer(
            max_steps=1,
            default_root_dir=Path(output).parent,
            accelerator="cpu",
            devices=ranks,
            strategy="ddp_fork" if ranks > 1 else "auto",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[RunReport(export=False)] if verb == "fit" else [],
        )
        getattr(trainer, verb)(learner, datamodule=data)
        kept[verb] = {name: float(value) for name, value in trainer.callback_metrics.items()}
    torch.save(kept, output)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
