"""What building a ladder costs over the bare engine: the same requests to the same model, in pairs.

    python experiments/ladder/overhead.py --rows 256 --pairs 5 --json overhead.json

The bare engine draws ``--responses`` for each row of the tiles with the tiny model, chunk by chunk, and
nothing is done with them. The build of a ladder asks the same, and reads the rows, verifies the responses,
writes the chunks, selects, and writes all files. Both load the model and decode the pictures. Which of a pair
comes first alternates; time is that of the processor, since a machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from scale import seconds

from observer.answering import Answerer
from observer.data import Tiles
from observer.ladder import AskedModel, Measure, Recipe, Sort, Verifiable
from observer.ladder.building import build
from observer.ladder.progress import Shown
from observer.policy import PolicySpec
from observer.rewards import Observe
from observer.rollout import TransformersEngine
from observer.seeding import stable_seed
from observer.types import Sampling

CHUNK = 64
TOKENS = 64
FORMAT = Observe(system_prompt="")


class Silent(Shown):
    """Prints nothing."""

    def say(self, line: str) -> None:
        """Print nothing."""


def bare(rows: int, responses: int) -> int:
    """Draw the responses; return how many tokens they have."""
    spec, tokens = PolicySpec("observer:tiles"), 0
    answerer = Answerer.of(spec, FORMAT, engine=TransformersEngine(), max_prompt_tokens=64)
    answerer.start(spec, max_tokens=TOKENS)
    source = Tiles(rows=rows).read()
    seed = stable_seed(0, "ladder", "Measure")
    sampling = Sampling(group_size=responses, max_tokens=TOKENS, temperature=1.0, seed=seed)
    for first in range(0, rows, CHUNK):
        problems = [source[row] for row in range(first, min(first + CHUNK, rows))]
        groups = answerer.engine.generate(answerer.renderer.render(problems), sampling)
        tokens += sum(group.tokens for group in groups)
    answerer.close()
    return tokens


def built(rows: int, responses: int) -> int:
    """Build a ladder; return how many tokens its responses have."""
    asked = AskedModel("observer:tiles", TransformersEngine(), max_prompt_tokens=64, device="cpu")
    measure = Measure(responses=responses, max_tokens=TOKENS, response_format=FORMAT)
    recipe = Recipe(Tiles(rows=rows), (Verifiable(), measure, Sort()), asked, chunk_rows=CHUNK)
    with tempfile.TemporaryDirectory() as folder:
        build(recipe, Path(folder), shown=Silent())
        import pyarrow.parquet as pq

        columns = pq.read_table(Path(folder) / "ladder.parquet", columns=["complexity"])
    return round(sum(columns["complexity"].to_pylist()) * responses)


def main() -> None:
    """Time pairs and print each, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ways = {"engine": bare, "build": built}
    for way in ways.values():  # what is imported and compiled once is not measured
        way(CHUNK, 1)
    pairs = []
    for number in range(given.pairs):
        pair: dict[str, float] = {}
        for name in sorted(ways, reverse=bool(number % 2)):
            began = seconds()
            pair[f"{name}_tokens"] = ways[name](given.rows, given.responses)
            pair[name] = seconds() - began
        if pair["engine_tokens"] != pair["build_tokens"]:
            sys.exit(f"not the same responses: {pair}")
        pairs.append(pair)
        print(f"engine {pair['engine']:.2f} s, build {pair['build']:.2f} s: {_over(pair):+.1%}", flush=True)
    over = sorted(map(_over, pairs))
    print(f"the build costs {over[len(over) // 2]:+.1%} over the engine (median of {len(pairs)} pairs)")
    if given.json is not None:
        about = {"rows": given.rows, "responses": given.responses}
        given.json.write_text(json.dumps(about | {"pairs": pairs}, indent=1) + "\n")


def _over(pair: dict[str, float]) -> float:
    return pair["build"] / pair["engine"] - 1


if __name__ == "__main__":
    main()
