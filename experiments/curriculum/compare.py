"""Prints the table of schedules: held-out accuracy with intervals, and what order and composition do to it.

    python experiments/curriculum/compare.py [FOLDER]

FOLDER holds ``SCHEDULE/seed-K/summary.json``, as ``run.sh`` leaves them; ``Shuffled`` is that of NeuraLadder.
Intervals are Student's, 95 %, over seeds; differences are taken seed by seed, for a seed has the same initial
state in all schedules, and the same rows in NeuraLadder and Shuffled.
"""

import json
import statistics
import sys
from pathlib import Path

from observer.curriculum import NeuraLadder, Random
from observer.curriculum.preview import base_model, simulate
from observer.data import Tiles
from observer.statistics import student

FIGURES = {"greedy": "accuracy_after", "sampled": "sampled_after"}
LEVELS = {"levels 1 and 2": (1, 2), "levels 3 to 5": (3, 4, 5), "levels 6 to 8": (6, 7, 8)}
LESS = [("NeuraLadder", "Shuffled"), ("Shuffled", "Random")]
"""The differences that are effects: of the order, and of the composition."""


def interval(values):
    """Return mean and half-width of the interval, in points."""
    estimate = student(values)
    return f"{100 * estimate.mean:.1f} ± {100 * (estimate.interval()[1] - estimate.mean):.1f}"


def level_shares(schedule, steps=60, prompts=48):
    """Return level -> its share of the rows that a schedule draws in a run of the quickstart."""
    drawn = simulate(Tiles(rows=65536).read().index(), schedule, steps, prompts, 0, base_model)
    counts = drawn.counts_T_L.sum(0)
    return dict(zip(drawn.levels, (counts / counts.sum()).tolist(), strict=True))


def figures(summary, shares):
    """Return the figures of a run by name."""
    found = {name: summary[key] for name, key in FIGURES.items()}
    by_level = summary["by_level_after"]
    for name, levels in LEVELS.items():
        found[name] = statistics.fmean(by_level[str(level)] for level in levels)
    found["ladder's shares"] = sum(share * by_level[str(level)] for level, share in shares.items())
    return found


def main(folder):
    shares = level_shares(NeuraLadder())
    for schedule in (Random(), NeuraLadder()):
        each = ", ".join(f"{100 * share:.1f}" for share in level_shares(schedule).values())
        print(f"{type(schedule).__name__} draws of levels 1 to 8, %: {each}")
    runs = {}
    for path in sorted(folder.glob("*/seed-*/summary.json")):
        summary = json.loads(path.read_text())
        if summary["status"] == "complete":
            runs.setdefault(path.parts[-3], {})[summary["seed"]] = figures(summary, shares)
    names = [*FIGURES, "ladder's shares", *LEVELS]
    print("\n| schedule | seeds | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for schedule in sorted(runs, key=lambda name: name != "Random"):
        seeds = runs[schedule]
        cells = [interval([seeds[seed][name] for seed in seeds]) for name in names]
        print(f"| {schedule} | {len(seeds)} | " + " | ".join(cells) + " |")
    others = [(name, "Random") for name in runs if name not in ("Random", "Shuffled")]
    for more, less in [*LESS, *others]:
        both = sorted(runs.get(more, {}).keys() & runs.get(less, {}).keys())
        if len(both) > 1:
            cells = [interval([runs[more][s][name] - runs[less][s][name] for s in both]) for name in names]
            print(f"| {more} less {less} | {len(both)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/experiments/schedules"))
