"""What the runs of ``time_to_accuracy.py`` have in common: problems, sizes, rewards and clocks."""

import argparse
import time
from pathlib import Path

import torch
from against_trl import machine_seconds
from safetensors.torch import save_model

from observer.curriculum import Random
from observer.curriculum.base import DrawRequest
from observer.data import Tiles
from observer.rewards import Accuracy, Format, Observe, Rubric
from observer.run.files import write_json

ROWS, PROMPTS, GROUP, TOKENS = 65536, 48, 8, 64
LEARNING_RATE, FINAL_RATIO, BETAS, GRADIENT_CLIP = 1e-4, 0.1, (0.9, 0.99), 1.0
"""The rate falls on a straight line to ``FINAL_RATIO`` of its first value; AdamW without weight decay."""
EPS = 1e-4
"""TRL adds it to the standard deviation of a group; our default is 1e-9."""
REWARDS = {"accuracy": Accuracy(weight=1.0), "format": Format(weight=0.5)}
FORMAT = Observe(system_prompt="")
CLOCKS = {"seconds": time.perf_counter, "processor_seconds": time.process_time, "machine": machine_seconds}
"""Wall clock, all threads of this process, and whatever ran on the machine."""
RESULT = "run.json"
"""It is there once a run is over."""


def problems(seed, steps):
    """Return the problems of a run in the order in which ``Random`` draws them, ``PROMPTS`` a step."""
    rows = Tiles(rows=ROWS).read()
    index, schedule = rows.index(), Random()
    drawn = (schedule.batch(DrawRequest(index, step, PROMPTS, steps, seed)) for step in range(steps))
    return [rows[row] for of_one_step in drawn for row in of_one_step]


def rubric():
    """Return what both sides score completions with."""
    return Rubric(REWARDS, FORMAT)


def snapshot(folder, step):
    """Return where the weights after a step are."""
    return folder / f"after-{step}.safetensors"


def parser(description):
    """Return the options of a run of either side."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--seed", type=int, required=True)
    found.add_argument("--steps", type=int, required=True)
    found.add_argument("--every", type=int, required=True, help="steps from one snapshot to the next")
    found.add_argument("--folder", type=Path, required=True, help="of this run")
    return found


class Watch:
    """Notes what each step took. Its clocks stand still while a snapshot of the weights is saved.

    It starts before the first batch is fetched. A step lasts to the end of its optimizer step, and from there
    to the end of the next: all that a trainer does between steps is in it.
    """

    def __init__(self, given):
        self._given = given
        self._model, self._begin = None, {}
        self._columns = {name: [] for name in (*CLOCKS, "tokens", "reward")}
        self._saved = []
        given.folder.mkdir(parents=True, exist_ok=True)

    def start(self, model):
        """Begin the first step of a transformers model, whose weights are saved first."""
        self._model = model
        self._save(0)
        self._begin = {name: clock() for name, clock in CLOCKS.items()}

    def step(self, tokens, reward):
        """End a step.

        Args:
            tokens: that its rollout drew.
            reward: the mean over its completions.
        """
        for name, clock in CLOCKS.items():
            self._columns[name].append(clock() - self._begin[name])
        self._columns["tokens"].append(tokens)
        self._columns["reward"].append(reward)
        done = len(self._columns["tokens"])
        if done % self._given.every == 0 or done == self._given.steps:
            self._save(done)
        self._begin = {name: clock() for name, clock in CLOCKS.items()}

    def _save(self, step):
        save_model(self._model, str(snapshot(self._given.folder, step)))
        self._saved.append(step)

    def close(self):
        """Write what was noted; the run is over."""
        if len(self._columns["tokens"]) != self._given.steps:
            raise ValueError(f"{len(self._columns['tokens'])} steps were taken, not {self._given.steps}")
        given = {name: value for name, value in vars(self._given).items() if name != "folder"}
        columns = {name: [round(value, 4) for value in values] for name, values in self._columns.items()}
        noted = {"options": given, "threads": torch.get_num_threads(), "snapshots": self._saved}
        write_json(self._given.folder / RESULT, noted | columns)
