"""A script: a cold start of a policy that is cut over two ranks, and commands that measure its checkpoint.

Prints how the ranks of each ended, and the difference to a cold start on one. Usage: cut_commands.py FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import torch
from lightning.pytorch.strategies import ModelParallelStrategy

import runs
from cut_ranks import on_two_ranks
from observer.callbacks import checkpoint_callbacks
from observer.cli import main as observer
from observer.learner import WarmStart
from observer.rollout import ScriptedEngine

ENGINE = {"class_path": "ScriptedEngine", "init_args": {"texts": [runs.RIGHT, runs.WRONG]}}


def cold_start(folder, cut):
    torch.set_num_threads(1)
    options = {"devices": 2, "strategy": ModelParallelStrategy(), "plugins": []} if cut else {}
    kept = checkpoint_callbacks(folder, 1, validates=True)
    trainer = runs.trainer(folder, 2, callbacks=kept, **options)
    learner = runs.learner(WarmStart, engine=ScriptedEngine([runs.RIGHT, runs.WRONG]), optimizer=runs.sgd)
    trainer.fit(learner, datamodule=runs.data_module())
    learner.policy.save_pretrained(folder / "saved")  # by all ranks


def command(verb, folder, *words):
    given = ["--config", "quickstart", "--model.policy.path", runs.CHECKPOINT, "--run_dir", str(folder)]
    given += ["--model.engine", json.dumps(ENGINE), "--model.response_format.system_prompt", ""]
    given += ["--trainer.devices", "2", "--trainer.strategy", "ModelParallelStrategy"]
    given += ["--data.val.rows", "9", "--data.test.rows", "9", "--data.eval_batch", "2"]
    given += ["--ckpt_path", str(folder / "checkpoints" / "last.ckpt"), *words]
    if code := observer([verb, *given]):
        raise SystemExit(code)


def main(folder):
    cut, one = folder / "cut", folder / "one"
    ended = {"cold start": on_two_ranks(lambda: cold_start(cut, True))}
    cold_start(one, False)
    output = str(folder / "predictions.jsonl")
    for verb, *words in (["validate"], ["test"], ["predict", "--output", output]):
        ended[verb] = on_two_ranks(lambda verb=verb, words=words: command(verb, cut, *words))
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
