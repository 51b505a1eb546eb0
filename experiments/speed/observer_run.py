"""A run of this project for ``time_to_accuracy.py``: Lightning's loop around ``ObserveLearner``."""

import tempfile

import lightning
import torch
from observer_side import make_trainer
from same_run import (
    BETAS,
    EPS,
    FINAL_RATIO,
    FORMAT,
    GRADIENT_CLIP,
    GROUP,
    LEARNING_RATE,
    PROMPTS,
    REWARDS,
    ROWS,
    TOKENS,
    Watch,
    parser,
    problems,
)
from same_work import CHECKPOINT

from observer.data import LadderDataModule, Tiles
from observer.learner import ObserveLearner
from observer.objective import GroupMeanStd, Uniform
from observer.objective.learning_rates import Linear
from observer.policy import PolicySpec


class Noted(lightning.Callback):
    """Notes each step, and that its rows are those that the other side has."""

    def __init__(self, given):
        self._watch = Watch(given)
        self._rows = [problem.row for problem in problems(given.seed, given.steps)]

    def on_train_start(self, trainer, pl_module):
        """Start the clocks: no batch was fetched yet."""
        self._watch.start(pl_module.policy.model)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Note the step."""
        experience = outputs["experience"]
        self._watch.step(
            sum(group.tokens for group in experience.groups), float(experience.rewards_P_G.mean())
        )
        rows = [group.problem.row for group in experience.groups]
        if rows != self._rows[batch_idx * PROMPTS :][:PROMPTS]:
            raise ValueError(f"step {batch_idx} drew other rows than those of the other side: {rows}")

    def on_train_end(self, trainer, pl_module):
        """Write what was noted."""
        self._watch.close()


def make_learner(seed, zero_signal):
    """Return the quickstart's learner as plain GRPO: neither bonus nor weighting."""
    return ObserveLearner(
        policy=PolicySpec(CHECKPOINT),
        response_format=FORMAT,
        rewards=REWARDS,
        advantage=GroupMeanStd(eps=EPS),
        weighting=Uniform(),
        kl=None,
        zero_signal=zero_signal,
        group_size=GROUP,
        max_prompt_tokens=64,
        max_tokens=TOKENS,
        gradient_clip=GRADIENT_CLIP,
        # fused, as TRL's default is
        optimizer=lambda parameters: torch.optim.AdamW(
            parameters, lr=LEARNING_RATE, betas=BETAS, weight_decay=0.0, fused=True
        ),
        learning_rate=Linear(final_ratio=FINAL_RATIO),
        seed=seed,
    )


def main():
    options = parser(__doc__)
    options.add_argument("--zero_signal", choices=("drop", "keep"), required=True)
    given = options.parse_args()
    # A batch of another epoch has another batch_idx: there is one epoch.
    data = LadderDataModule(
        train=Tiles(rows=ROWS), prompts_per_step=PROMPTS, steps_per_epoch=given.steps, seed=given.seed
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(given.steps, folder, Noted(given))
        trainer.fit(make_learner(given.seed, given.zero_signal), datamodule=data)


if __name__ == "__main__":
    main()
