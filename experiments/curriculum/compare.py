"""Prints the table of schedules: held-out accuracy with intervals, and what differs from random order.

    python experiments/curriculum/compare.py [FOLDER]

FOLDER holds ``SCHEDULE/seed-K/summary.json``, as ``run.sh`` leaves them. Intervals are Student's, 95 %, over
seeds; differences from Random are taken seed by seed, for a seed has the same initial state in all schedules.
"""

import json
import statistics
import sys
from pathlib import Path

FIGURES = {"greedy": "accuracy_after", "sampled": "sampled_after"}
LEVELS = {"levels 1 and 2": (1, 2), "levels 3 to 5": (3, 4, 5), "levels 6 to 8": (6, 7, 8)}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""97.5 % quantile of Student's distribution by number of seeds."""


def interval(values):
    """Return mean and half-width of the interval, in points."""
    half = STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{100 * statistics.fmean(values):.1f} ± {100 * half:.1f}"


def figures(summary):
    """Return the figures of a run by name."""
    found = {name: summary[key] for name, key in FIGURES.items()}
    by_level = summary["by_level_after"]
    for name, levels in LEVELS.items():
        found[name] = statistics.fmean(by_level[str(level)] for level in levels)
    return found


def main(folder):
    runs = {}
    for path in sorted(folder.glob("*/seed-*/summary.json")):
        summary = json.loads(path.read_text())
        if summary["status"] == "complete":
            runs.setdefault(path.parts[-3], {})[summary["seed"]] = figures(summary)
    names = [*FIGURES, *LEVELS]
    print("| schedule | seeds | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for schedule in sorted(runs, key=lambda name: name != "Random"):
        seeds = runs[schedule]
        cells = [interval([seeds[seed][name] for seed in seeds]) for name in names]
        print(f"| {schedule} | {len(seeds)} | " + " | ".join(cells) + " |")
    for schedule in [name for name in runs if name != "Random"]:
        both = sorted(runs[schedule].keys() & runs["Random"].keys())
        cells = [
            interval([runs[schedule][s][name] - runs["Random"][s][name] for s in both]) for name in names
        ]
        print(f"| {schedule} less Random | {len(both)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/experiments/schedules"))
