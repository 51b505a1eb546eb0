"""Tells what a grid's runs answered by level at each validation: what was lost, what was never learned.

    python experiments/parts/halfway.py experiments/parts/order.yaml runs/parts-order --csv halfway.csv

Greedy accuracy, the mean of all seeds; a row per variant and step. Few problems (see the configuration's
``data.val``): to be read for large changes alone.
"""

import csv
from statistics import fmean

from command_line import read_command_line
from starts import curve

from observer.ablation.grid import read_grid


def validations(run):
    """Level -> greedy accuracy, of each validation by its step."""
    return {point["step"]: point["levels"] for point in curve(run) if point["split"] == "val"}


def main():
    given = read_command_line(__doc__, "of the grid's runs")
    grid = read_grid(given.grid)
    rows = []
    for variant in grid.variants:
        runs = [validations(grid.run(variant, seed, given.folder).folder) for seed in grid.seeds]
        for step, levels in runs[0].items():
            means = {level: f"{fmean(run[step][level] for run in runs):.3f}" for level in levels}
            rows.append({"variant": variant, "step": step, **means})
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, rows[0], lineterminator="\n")
        lines.writeheader()
        lines.writerows(rows)


if __name__ == "__main__":
    main()
