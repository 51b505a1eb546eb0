"""A run of TRL's ``GRPOTrainer`` for ``time_to_accuracy.py``.

Our verifier judges its completions. Pictures are drawn before the clocks start, so that its data set hands
out decoded ones; this project draws them within its steps.
"""

import tempfile

from datasets import Dataset
from same_run import (
    BETAS,
    FINAL_RATIO,
    GRADIENT_CLIP,
    GROUP,
    LEARNING_RATE,
    PROMPTS,
    TOKENS,
    Watch,
    parser,
    problems,
    rubric,
)
from transformers import TrainerCallback
from trl_side import make_trainer

from observer.types import Completion, Group, Prompt, Sampling


def data_set(asked):
    """Return the problems as TRL takes them: a chat, a decoded picture, and the problem's place."""
    pictures = [picture.load() for problem in asked for picture in problem.pictures]

    def rows(batch):
        questions = [asked[place].question.removeprefix("<image>") for place in batch["place"]]
        return {
            "prompt": [[{"role": "user", "content": question}] for question in questions],
            "image": [pictures[place] for place in batch["place"]],
            "place": batch["place"],
        }

    return Dataset.from_dict({"place": list(range(len(asked)))}).with_transform(rows)


class Rewards:
    """Scores completions as this project does, and adds up what was drawn."""

    __name__ = "accuracy and format"

    def __init__(self, asked):
        self._asked, self._rubric = asked, rubric()
        self.tokenizer, self.ends = None, ()
        self.tokens, self.values = 0, []

    def __call__(self, completion_ids, place, **_):
        """Return the reward of each completion; a group lies together."""
        self.tokens = sum(map(len, completion_ids))
        groups = [
            Group(
                Prompt(self._asked[place[first]], ids=()),
                tuple(map(self._completion, completion_ids[first : first + GROUP], range(GROUP))),
                Sampling(GROUP, TOKENS),
            )
            for first in range(0, len(completion_ids), GROUP)
        ]
        scores = self._rubric.score_all(groups, step=0)
        self.values = [score.reward for of_one in scores for score in of_one]
        return self.values

    def _completion(self, ids, index):
        stopped = ids[-1] in self.ends
        text = self.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
        return Completion(tuple(ids), (0.0,) * len(ids), text, "stop" if stopped else "length", index)


class Noted(TrainerCallback):
    """Notes each step."""

    def __init__(self, given, rewards):
        self._watch, self._rewards = Watch(given), rewards

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Start the clocks: no batch was fetched yet."""
        self._watch.start(model)

    def on_step_end(self, args, state, control, **kwargs):
        """Note the step."""
        values = self._rewards.values
        self._watch.step(self._rewards.tokens, sum(values) / len(values))

    def on_train_end(self, args, state, control, **kwargs):
        """Write what was noted."""
        self._watch.close()


def make_run(asked, seed, steps, prompts, micro_batch, folder):
    """Return TRL's trainer of plain GRPO with the quickstart's sizes, and its rewards.

    Args:
        asked: the problems, ``prompts`` a step.
        seed: of whatever it draws.
        steps: of the run.
        prompts: of a rollout.
        micro_batch: completions of a backward pass.
        folder: which it does not write to.
    """
    rewards = Rewards(asked)
    trainer = make_trainer(
        *(data_set(asked), None, micro_batch, folder),
        rewards,
        gradient_accumulation_steps=prompts * GROUP // micro_batch,
        num_generations=GROUP,
        max_completion_length=TOKENS,
        generation_kwargs=None,
        beta=0.0,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="polynomial",  # of power 1: a straight line
        lr_scheduler_kwargs={"lr_end": FINAL_RATIO * LEARNING_RATE, "power": 1.0},
        adam_beta1=BETAS[0],
        adam_beta2=BETAS[1],
        max_grad_norm=GRADIENT_CLIP,
        max_steps=steps,
        seed=seed,
    )
    rewards.tokenizer, rewards.ends = trainer.processing_class.tokenizer, trainer.eos_token_ids
    return trainer, rewards


def main():
    options = parser(__doc__.partition("\n")[0])
    options.add_argument("--micro_batch", type=int, required=True, help="completions of a backward pass")
    given = options.parse_args()
    asked = problems(given.seed, given.steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer, rewards = make_run(asked, given.seed, given.steps, PROMPTS, given.micro_batch, folder)
        trainer.add_callback(Noted(given, rewards))
        trainer.train()


if __name__ == "__main__":
    main()
