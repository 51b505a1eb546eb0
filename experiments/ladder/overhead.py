"""What building a ladder costs over the bare engine: the same requests to the same model, in pairs.

    python experiments/ladder/overhead.py --rows 256 --pairs 5 --wide 4 --json overhead.json

The bare engine draws ``--responses`` for each row of the tiles with the tiny model, chunk by chunk, and
nothing is done with them. The build of a ladder asks the same, and reads the rows, verifies the responses,
writes the chunks, selects, and writes all files. Both load the model and decode the pictures. Which of a pair
comes first alternates; time is that of the processor, since a machine may be shared. The model is the tiny
one, or with ``--wide`` one of its shape whose text layers are so many times as wide, with random weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from scale import seconds

import observer
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


def bare(model: str, rows: int, responses: int) -> int:
    """Draw the responses; return how many tokens they have."""
    spec, tokens = PolicySpec(model), 0
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


def built(model: str, rows: int, responses: int) -> int:
    """Build a ladder; return how many tokens its responses have."""
    asked = AskedModel(model, TransformersEngine(), max_prompt_tokens=64, device="cpu")
    measure = Measure(responses=responses, max_tokens=TOKENS, response_format=FORMAT)
    recipe = Recipe(Tiles(rows=rows), (Verifiable(), measure, Sort()), asked, chunk_rows=CHUNK)
    with tempfile.TemporaryDirectory() as folder:
        build(recipe, Path(folder), shown=Silent())
        import pyarrow.parquet as pq

        columns = pq.read_table(Path(folder) / "ladder.parquet", columns=["complexity"])
    return round(sum(columns["complexity"].to_pylist()) * responses)


def wide(times: int, folder: Path) -> str:
    """Write a model of the tiny one's shape, with text layers so many times as wide; return its folder."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    tiny = Path(observer.__file__).parent / "data" / "tiles" / "checkpoint"
    for file in tiny.iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, folder)
    config = AutoConfig.from_pretrained(tiny)
    for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        setattr(config.text_config, name, getattr(config.text_config, name) * times)
    config.vision_config.out_hidden_size = config.text_config.hidden_size
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Time pairs and print each, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--wide", type=int, default=1, help="times the width of the tiny model")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ways = {"engine": bare, "build": built}
    model = "observer:tiles" if given.wide == 1 else wide(given.wide, Path(tempfile.mkdtemp()))
    for way in ways.values():  # what is imported and compiled once is not measured
        way(model, CHUNK, 1)
    pairs = []
    for number in range(given.pairs):
        pair: dict[str, float] = {}
        for name in sorted(ways, reverse=bool(number % 2)):
            began = seconds()
            pair[f"{name}_tokens"] = ways[name](model, given.rows, given.responses)
            pair[name] = seconds() - began
        if pair["engine_tokens"] != pair["build_tokens"]:
            sys.exit(f"not the same responses: {pair}")
        pairs.append(pair)
        print(f"engine {pair['engine']:.2f} s, build {pair['build']:.2f} s: {_over(pair):+.1%}", flush=True)
    over = sorted(map(_over, pairs))
    print(f"the build costs {over[len(over) // 2]:+.1%} over the engine (median of {len(pairs)} pairs)")
    if given.json is not None:
        about = {"rows": given.rows, "responses": given.responses, "wide": given.wide}
        given.json.write_text(json.dumps(about | {"pairs": pairs}, indent=1) + "\n")


def _over(pair: dict[str, float]) -> float:
    return pair["build"] / pair["engine"] - 1


if __name__ == "__main__":
    main()
