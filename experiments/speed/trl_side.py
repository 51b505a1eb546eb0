"""TRL's worker of ``against_trl.py``: ``GRPOTrainer.train()``, held between steps.

Whatever costs time and is not training is off: logging, progress bar, checkpoints, gradient checkpointing,
printing. The data set hands out pictures that are decoded already.
"""

import argparse
import tempfile
import time
from contextlib import suppress

import torch
from datasets import Dataset
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
from transformers import AutoProcessor, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


def reward(completion_ids, **_):
    """Return the reward of both sides; a group lies together."""
    return [worth(ids, place % GROUP) for place, ids in enumerate(completion_ids)]


def data_set(sides, repeats):
    """Return a data set of one row a side, over and over."""

    def rows(batch):
        images = [noise(number, side) for number, side in zip(batch["number"], batch["side"], strict=True)]
        return {"prompt": [[{"role": "user", "content": QUESTION}] for _ in images], "image": images}

    columns = {"number": list(range(len(sides))) * repeats, "side": list(sides) * repeats}
    return Dataset.from_dict(columns).with_transform(rows)


class Stages:
    """Adds up the seconds that a trainer spends in methods; in ``reference`` only those without gradients."""

    def __init__(self, trainer, **methods):
        self._seconds = dict.fromkeys(methods, 0.0)
        for stage, method in methods.items():
            setattr(trainer, method, self._timed(getattr(trainer, method), stage))

    def _timed(self, method, stage):
        def timed(*args, **kwargs):
            counts = stage != "reference" or not torch.is_grad_enabled()
            begin = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self._seconds[stage] += counts * (time.perf_counter() - begin)

        return timed

    def lap(self):
        """Return seconds by stage since the last lap, without those of a stage inside another."""
        s = dict(self._seconds)
        self._seconds = dict.fromkeys(s, 0.0)
        return {
            "render and generate": s["generate"],
            "reference": s["reference"],
            "score, prepare pictures again": s["rollout"] - s["generate"] - s["reference"],
            "update": s["all"] - s["rollout"],
        }


class Held(TrainerCallback):
    """Holds the trainer at each step."""

    def __init__(self):
        self.turnstile = Turnstile()
        self.stages = None

    def on_step_begin(self, args, state, control, **kwargs):
        """Wait."""
        self.turnstile(self.stages.lap())


def make_trainer(rows, max_pixels, micro_batch, folder, rewards=reward, **options):
    """Return TRL's trainer of this script.

    Args:
        rows: of a data set.
        max_pixels: pictures are shrunk to at most this many; None keeps the processor's own.
        micro_batch: completions of a backward pass.
        folder: which it does not write to.
        rewards: a reward function of TRL's kind.
        options: of ``GRPOConfig``, in place of those of ``against_trl.py``.
    """
    # On the other side, prompts of several lengths would get the positions of their pictures wrong.
    processor = AutoProcessor.from_pretrained(CHECKPOINT, padding_side="left")
    if max_pixels is not None:
        # The key says edge and means pixels of the picture.
        processor.image_processor.size = dict(processor.image_processor.size) | {"longest_edge": max_pixels}
    given = {
        "gradient_accumulation_steps": PROMPTS * GROUP // micro_batch,
        "num_generations": GROUP,
        "max_completion_length": TOKENS,
        "generation_kwargs": {"min_new_tokens": TOKENS},
        "beta": KL,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": GRADIENT_CLIP,
        "max_steps": STEPS,
    }
    config = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
        gradient_checkpointing=False,
        per_device_train_batch_size=micro_batch,
        temperature=1.0,
        loss_type="dapo",  # the sum over tokens by their number, as ours
        scale_rewards="group",
        weight_decay=0.0,
        shuffle_dataset=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        **given | options,
    )
    trainer = GRPOTrainer(
        model=CHECKPOINT, reward_funcs=rewards, args=config, train_dataset=rows, processing_class=processor
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, required=True, help="pixels")
    parser.add_argument("--micro_batch", type=int, required=True)
    given = parser.parse_args()
    held = Held()
    with tempfile.TemporaryDirectory() as folder:
        rows = data_set([given.side] * PROMPTS, repeats=1000)  # no epoch ends, which would cost a little
        trainer = make_trainer(rows, given.side**2, given.micro_batch, folder)
        held.stages = Stages(
            trainer,
            generate="_generate",
            rollout="_generate_and_score_completions",
            all="training_step",
            reference="_get_per_token_logps_and_entropies",
        )
        trainer.add_callback(held)
        with suppress(Done):
            trainer.train()
    held.turnstile.report(memory=held.turnstile.memory())


if __name__ == "__main__":
    main()
