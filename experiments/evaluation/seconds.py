"""CPU seconds of an evaluation beside its model: rows that an engine answers from a script.

    python experiments/evaluation/seconds.py --rows 2000 --responses 8

Prints the seconds of the processor, of all threads and of the processes that verify: for tiles that are
drawn and rendered, each answered once greedily and ``--responses`` times, verified, scored and written.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

from observer.data import Tiles
from observer.evaluation import Benchmark, Evaluation
from observer.evaluation.evaluating import evaluate
from observer.ladder import AskedModel
from observer.rewards import Observe
from observer.rollout.scripted import ScriptedEngine

TEXTS = [
    "<observe> 1 </observe><think> 1 </think><answer> {answer} </answer>",
    "<observe> 1 </observe><think> 1 + 98 = 99 </think><answer> 99 </answer>",
    "nothing of the kind",
]


def seconds() -> float:
    """Return the CPU seconds of this process and those of its own that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Evaluate and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--responses", type=int, default=8)
    given = parser.parse_args()
    model = AskedModel("observer:tiles", ScriptedEngine(TEXTS), max_prompt_tokens=64, device="cpu")
    benchmarks = {"tiles": Benchmark(Tiles(rows=given.rows, split="test"))}
    options = {"responses": given.responses, "max_tokens": 64}
    evaluation = Evaluation(benchmarks, model, Observe(system_prompt=""), **options)
    start = seconds()
    with tempfile.TemporaryDirectory() as folder:
        evaluate(evaluation, Path(folder))
    used = seconds() - start
    per_row = used / given.rows * 1e3
    print(f"{given.rows:,} rows, {given.responses} responses: {used:.1f} CPU s, {per_row:.1f} ms per row")


if __name__ == "__main__":
    main()
