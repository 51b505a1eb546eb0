"""Tells all fifteen effects of the factorial: of each part, and of how two or more change each other's.

    python experiments/parts/interactions.py experiments/parts/grid.yaml runs/parts --csv interactions.csv

The effect of one part is the mean over the eight pairs of cells that differ in it alone. That of two is half
of what the effect of one is more where the other is on than where it is off; of more likewise. Only the four
of one part are primary contrasts (the report tests those); the other eleven are exploratory, untested and
not corrected for how many they are. Intervals are over seeds and problems.
"""

import argparse
import csv
from itertools import chain, combinations
from math import prod
from pathlib import Path

from observer.ablation.grid import read_grid
from observer.ablation.report.collect import collect
from observer.statistics import crossed

FIGURES = ("accuracy", "sampled_accuracy", "format", "sampled_format", "length", "sampled_length")
HALVES = 8
"""Pairs of cells: 2 to the number of parts, by 2."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", type=Path)
    parser.add_argument("folder", type=Path, help="of its runs")
    parser.add_argument("--csv", required=True, type=Path)
    given = parser.parse_args()
    grid = read_grid(given.grid)
    runs = collect(grid, given.folder)
    cells = {name: variant.cells for name, variant in grid.variants.items()}
    seeds = runs.seeds(*cells)
    if seeds != tuple(grid.seeds):
        raise SystemExit(f"only seeds {seeds} of all cells are complete; go on with observer ablate run")
    axes = list(next(iter(cells.values())))
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["effect", "figure", "mean", "low", "high"])
        for figure in FIGURES:
            for parts in chain.from_iterable(combinations(axes, size) for size in range(1, len(axes) + 1)):
                values_S_P = sum(
                    prod(1 if cell[axis] == "on" else -1 for axis in parts)
                    * runs.values(name, seeds, figure)
                    / HALVES
                    for name, cell in cells.items()
                )
                estimate = crossed(values_S_P)
                ends = (estimate.mean, *estimate.interval())
                lines.writerow([" x ".join(parts), figure, *(f"{end:.5f}" for end in ends)])


if __name__ == "__main__":
    main()
