"""Measures how hard each level and view of the tiles is for the shipped checkpoint.

    python experiments/curriculum/axes.py [--boards 256]

Prints the share of wrong answers at temperature 1 by view (rows) and level (columns); rounded to 1/8 they are
``DIFFICULTY_BY_VIEW`` of ``observer/data/tiles/rows.py``.
"""

import argparse
from pathlib import Path

import numpy as np

import observer
from observer.data.tiles.draw import VIEWS
from observer.data.tiles.rows import LEVELS, Tiles
from observer.policy import Policy, PolicySpec, load_processor
from observer.rewards import Observe
from observer.rollout import PromptRenderer, TransformersEngine
from observer.types import Sampling, Verdict
from observer.verifier.verify import verify

CHECKPOINT = Path(observer.__file__).parent / "data" / "tiles" / "checkpoint"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boards", type=int, default=256, help="of each level and view")
    given = parser.parse_args()
    spec = PolicySpec(str(CHECKPOINT))
    processor = load_processor(spec)
    engine, form = TransformersEngine(), Observe(system_prompt="")
    engine.start(Policy(spec, processor).eval())
    renderer = PromptRenderer(processor, form.system_prompt, max_tokens=256)
    rows = Tiles(rows=LEVELS * len(VIEWS) * given.boards, split="val", axes="chain_and_perception").read()
    wrong = np.zeros((len(VIEWS), LEVELS))
    for first in range(0, len(rows), 256):
        problems = [rows[row] for row in range(first, min(first + 256, len(rows)))]
        sampling = Sampling(group_size=1, max_tokens=64, step=-1)
        for group in engine.generate(renderer.render(problems), sampling):
            problem, answer = group.problem, form.read(group.completions[0].text).answer
            verdict, _ = verify(problem.answer, answer, problem.kind)
            wrong[problem.metadata["perception"], problem.level - 1] += verdict is not Verdict.CORRECT
    for shares in wrong / given.boards:
        print(" ".join(f"{share:.3f}" for share in shares), "->", np.round(shares * 8) / 8)


if __name__ == "__main__":
    main()
