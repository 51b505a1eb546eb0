"""Tells the effects of the parts on levels 1 and 2, which the grid does not measure.

    python experiments/parts/easy.py experiments/parts/grid.yaml runs/parts-easy --csv easy.csv

Greedy accuracy, from the answers of ``observer evaluate``; a row for the mean of each cell, then those of
``effects.py``, untested, over seeds and problems.
"""

import csv

import numpy as np
from command_line import read_command_line
from effects import weights
from shifts import read

from observer.ablation.grid import read_grid
from observer.statistics import crossed


def main():
    given = read_command_line(__doc__, "of evaluations, CELL-SEED")
    grid = read_grid(given.grid)
    cells = {name: variant.cells for name, variant in grid.variants.items()}
    found = {(name, s): read(given.folder / f"{name}-{s}", "easy") for name in cells for s in grid.seeds}
    if len({tuple(ids) for ids, _ in found.values()}) > 1:
        raise SystemExit("the evaluations asked other rows; make them anew")
    right = {name: np.stack([found[name, seed][1]["accuracy"] for seed in grid.seeds]) for name in cells}
    told = [("cell", name, {name: 1}) for name in cells]
    told += weights(cells, list(next(iter(cells.values()))))
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["kind", "of", "mean", "low", "high"])
        for kind, name, given_weights in told:
            values_S_P = sum(weight * right[cell] for cell, weight in given_weights.items())
            estimate = crossed(values_S_P, bounds=(0, 1) if kind == "cell" else None)
            ends = (estimate.mean, *estimate.interval())
            lines.writerow([kind, name, *(f"{end:.5f}" for end in ends)])


if __name__ == "__main__":
    main()
