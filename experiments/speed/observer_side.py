"""This project's worker of ``against_trl.py``: Lightning's loop around ``ObserveLearner``, held at each step.

Its last report holds memory, and the largest difference between the log-prob passes (values and gradients of
the groups of the last step); it raises when that is above 1e-5 of the largest.
"""

import argparse
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import get_args, get_type_hints

import lightning
import numpy as np
import torch
from passes import training_pass
from same_work import (
    CHECKPOINT,
    GRADIENT_CLIP,
    GROUP,
    KL,
    LEARNING_RATE,
    PROMPTS,
    QUESTION,
    STEPS,
    TOKENS,
    Done,
    Turnstile,
    noise,
    worth,
)

from observer.curriculum import CurriculumCallback, Random
from observer.data import LadderDataModule
from observer.data.rows import RowFormat, Rows
from observer.learner import ObserveLearner
from observer.objective import Uniform
from observer.objective.kl.k3 import K3
from observer.policy import PolicySpec
from observer.rewards import Observe, Reward
from observer.types import Completion, Group, Picture, Problem, Sampling, Turn

LOGPROB_PASSES = get_args(get_type_hints(PolicySpec)["logprob_pass"])
TOLERANCE = 1e-5


def problem(row, side):
    """Return the question about the noise of a row."""
    picture = Picture(f"noise {row}", size=lambda: (side, side), load=partial(noise, row, side))
    turn = Turn("user", f"<image>{QUESTION}")
    return Problem(id=str(row), row=row, turns=(turn,), answer="1", kind="integer", pictures=(picture,))


def made_up(prompt, size, tokens):
    """Return a group of completions of random tokens, all of them text."""
    drawn = torch.randint(16, 300, (size, tokens)).tolist()
    completions = [Completion(tuple(ids), (0.0,) * tokens, "", "length", i) for i, ids in enumerate(drawn)]
    return Group(prompt, tuple(completions), Sampling(group_size=size, max_tokens=tokens))


class NoiseRows(Rows):
    """As many rows as a step draws."""

    def __init__(self, side):
        self.difficulty = np.full(PROMPTS, 0.5, np.float32)
        self.complexity = np.zeros(PROMPTS, np.float32)
        self.level = np.zeros(PROMPTS, np.int64)
        self._side = side

    def __len__(self):
        return PROMPTS

    def __getitem__(self, row):
        return problem(row, self._side)

    def checked_rows(self):
        """Return one: all have the same length."""
        return [0]


@dataclass(frozen=True)
class Noise(RowFormat):
    """Pictures of noise."""

    side: int

    def read(self):
        """Return the rows."""
        return NoiseRows(self.side)


@dataclass(frozen=True)
class Worth(Reward):
    """The reward of both sides."""

    weight: float = 1.0

    def __call__(self, group, scores, step):
        """Return the worth of each completion."""
        return [worth(completion.ids, completion.index) for completion in group.completions]


class Held(lightning.Callback):
    """Holds the trainer at each step, and keeps the groups of the last."""

    def __init__(self):
        self.turnstile = Turnstile()
        self.groups = ()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Wait, and keep the wait out of the learner's own clock."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        group = "zoom_seconds/"
        self.turnstile({n.removeprefix(group): v for n, v in logged.items() if n.startswith(group)})
        pl_module.clock.restart()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Keep the groups."""
        self.groups = outputs["experience"].groups


def make_learner(side, logprob_pass, micro_batch):
    return ObserveLearner(
        policy=PolicySpec(CHECKPOINT, max_pixels=side**2, logprob_pass=logprob_pass),
        response_format=Observe(system_prompt=""),
        rewards={"worth": Worth()},
        weighting=Uniform(),
        kl=K3(coefficient=KL),
        zero_signal="keep",
        group_size=GROUP,
        max_tokens=TOKENS,
        min_tokens=TOKENS,
        micro_batch=micro_batch,
        gradient_clip=GRADIENT_CLIP,
        # fused, as TRL's default is
        optimizer=lambda parameters: torch.optim.AdamW(
            parameters, lr=LEARNING_RATE, weight_decay=0.0, fused=True
        ),
    )


def make_trainer(steps, folder, callback):
    """Return Lightning's trainer: rows in random order, nothing written, shown or measured."""
    return lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=[CurriculumCallback(Random()), callback],
    )


def difference(policy, groups):
    """Return by how much the log-prob passes differ, in parts of the largest value and gradient.

    Raises:
        ValueError: by more than the tolerance.
    """
    values, gradient = training_pass(policy, groups, "plain")
    worst = 0.0
    for how in LOGPROB_PASSES:
        for one, other in zip((values, gradient), training_pass(policy, groups, how), strict=True):
            worst = max(worst, float((one - other).abs().max() / one.abs().max()))
    if not worst < TOLERANCE:
        raise ValueError(f"the passes differ by {worst} of the largest, more than {TOLERANCE}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, required=True, help="pixels")
    parser.add_argument("--micro_batch", type=int, required=True)
    parser.add_argument("--logprob_pass", choices=LOGPROB_PASSES, default=PolicySpec.logprob_pass)
    given = parser.parse_args()
    held = Held()
    learner = make_learner(given.side, given.logprob_pass, given.micro_batch)
    data = LadderDataModule(train=Noise(given.side), prompts_per_step=PROMPTS, steps_per_epoch=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(STEPS, folder, held)
        with suppress(Done):
            trainer.fit(learner, datamodule=data)
    memory = held.turnstile.memory()
    held.turnstile.report(memory=memory, passes_differ=difference(learner.policy, held.groups))


if __name__ == "__main__":
    main()
