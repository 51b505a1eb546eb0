"""Measures the snapshots of runs of ``time_to_accuracy.py``, whoever trained them: greedy, held-out tiles.

    python experiments/speed/held_out.py FOLDER .. [--problems 2048]

Each folder gets ``held_out.json``: how many problems are right after which step. What it holds is not
measured again.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_model
from same_run import FORMAT, RESULT, REWARDS, TOKENS, snapshot
from same_work import CHECKPOINT

from observer.answering import Answerer
from observer.data import Tiles
from observer.policy import Policy, PolicySpec
from observer.run.files import write_json
from observer.types import Sampling

BATCH = 1024
MEASURED = "held_out.json"
SAMPLING = Sampling(group_size=1, max_tokens=TOKENS, temperature=0.0, step=-1)


class Measure:
    """Answers the same held-out problems with one set of weights after the other."""

    def __init__(self, problems):
        spec = PolicySpec(CHECKPOINT)
        self._answerer = Answerer.of(spec, FORMAT, REWARDS, max_prompt_tokens=64)
        self._policy = Policy(spec, self._answerer.renderer.processor).requires_grad_(False)
        self._answerer.start(spec, self._policy, max_tokens=TOKENS)
        rows = Tiles(rows=problems, split="test").read()
        self._prompts = self._answerer.renderer.render([rows[row] for row in range(problems)])
        self._version = 0

    def right(self, path):
        """Return how many greedy answers are right with the weights of a file."""
        load_model(self._policy.model, path)
        self._version += 1
        self._answerer.sync(self._policy, self._version)
        count = 0
        for first in range(0, len(self._prompts), BATCH):
            groups = self._answerer.engine.generate(self._prompts[first : first + BATCH], SAMPLING)
            scores = self._answerer.score(groups, SAMPLING.step).scores
            count += sum(score.correct for of_one in scores for score in of_one)
        return count


def known(folder, problems):
    """Return what a folder holds: step -> how many of so many problems are right."""
    path = folder / MEASURED
    found = json.loads(path.read_text()) if path.exists() else {}
    if found.get("problems") != problems:
        return {}
    return {int(step): right for step, right in found["right"].items()}


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--problems", type=int, default=2048)
    given = parser.parse_args()
    measure = None
    for folder in given.folders:
        right = known(folder, given.problems)
        for step in json.loads((folder / RESULT).read_text())["snapshots"]:
            if step in right:
                continue
            measure = measure or Measure(given.problems)
            right[step] = measure.right(snapshot(folder, step))
            write_json(folder / MEASURED, {"problems": given.problems, "right": right})
            print(f"{folder.name}, step {step}: {right[step] / given.problems:.3f}", flush=True)


if __name__ == "__main__":
    main()
