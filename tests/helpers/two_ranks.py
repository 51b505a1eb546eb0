"""A script: two steps on one or two ranks over given rows; saves the weights then and what rank 0 logged.

Usage: two_ranks.py ROWS OUTPUT RANKS RECIPE
"""

import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import runs
from observer.curriculum import CurriculumCallback, Sorted
from observer.data import Jsonl
from observer.objective import SAPO, BatchMeanStd, Correction, PPOClip, Quadratic, Uniform
from observer.rewards import Accuracy
from observer.rollout import ScriptedEngine

TEXTS = [
    "<observe> 1 </observe><think> 1 </think><answer> {answer} </answer>",
    "<observe> 1 2 3 </observe><think> 1 </think><answer> 1 </answer>",
    "no answer",
]


class RightWithPictures(ScriptedEngine):
    """Answers what has a picture right each time, so that a rank with pictures has nothing to learn from."""

    def generate(self, prompts, sampling):
        groups = []
        for prompt in prompts:
            self.texts = TEXTS[:1] if prompt.pictures else TEXTS
            groups += super().generate([prompt], sampling)
        return groups


RECIPES = {
    "tokens": {"weighting": Uniform()},
    "sequences": {
        "weighting": Quadratic(normalise=True),
        "combine": "normalise_then_sum",
        "denominator": "sequences",
        "loss": PPOClip(level="sequence"),
        "correction": Correction(),
        "entropy_bonus": 0.01,
    },
    "constant": {
        "weighting": Quadratic(apply_to="accuracy", normalise=True),
        "advantage": BatchMeanStd(),
        "denominator": "constant",
        "loss": SAPO(),
        "truncated": "mask",
        "max_tokens": 14,
    },
    "silent": {
        "engine": RightWithPictures(TEXTS),
        "rewards": {"accuracy": Accuracy()},
        "denominator": "constant",
    },
    "waiting": {
        "engine": RightWithPictures(TEXTS),
        "rewards": {"accuracy": Accuracy()},
        "optimizer": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1),
    },
}


def main(rows, output, ranks, recipe):
    torch.set_num_threads(1)
    usual = {"engine": ScriptedEngine(TEXTS), "group_size": 3, "optimizer": runs.sgd}
    learner = runs.learner(**{**usual, **RECIPES[recipe]})
    data = runs.data_module(train=Jsonl(rows), val=None, test=None, prompts_per_step=4, steps_per_epoch=1)
    trainer = runs.lightning.Trainer(
        max_steps=2,
        default_root_dir=Path(output).parent,
        accelerator="cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[CurriculumCallback(Sorted())],
    )
    trainer.fit(learner, datamodule=data)
    if trainer.is_global_zero:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        figures = {name: value for name, value in figures.items() if "second" not in name}
        torch.save(
            {"weights": learner.policy.state_dict(), "figures": figures, "ladder": data.state_dict()}, output
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
