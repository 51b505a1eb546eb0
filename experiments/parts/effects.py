"""Tells all effects of the factorial, beside the four that are tested.

    python experiments/parts/effects.py experiments/parts/grid.yaml runs/parts --csv effects.csv

``main``: the effect of one part is the mean over the eight pairs of cells that differ in it alone.
``interaction``: that of two is half of what the effect of one is more where the other is on than where it is
off; of more likewise. ``left out``: the whole method less the method without the part. ``added``: the part
alone less nothing. ``given``: the effect of one over the four pairs in which another is on, or off.
``whole``: all four less nothing. Only the four main effects on greedy accuracy are primary contrasts; nothing
else here is tested, or corrected for how many there are.

The first interval is over seeds and problems (``crossed``), the other over the means of seeds alone
(Student's, 4 degrees of freedom for five), which can be wider where seeds differ by less than chance.
"""

import csv
from itertools import chain, combinations, permutations
from math import prod

from command_line import read_command_line

from observer.ablation.grid import read_grid
from observer.ablation.report.collect import collect
from observer.statistics import crossed, student

FIGURES = ("accuracy", "sampled_accuracy", "format", "sampled_format", "length", "sampled_length")
HALVES = 8
"""Pairs of cells: 2 to the number of parts, by 2."""


def weights(cells, axes):
    """Yield kind, name and the weight of each cell, for every effect."""
    signs = {name: {axis: 1 if cell[axis] == "on" else -1 for axis in axes} for name, cell in cells.items()}
    for parts in chain.from_iterable(combinations(axes, size) for size in range(1, len(axes) + 1)):
        kind = "main" if len(parts) == 1 else "interaction"
        products = {name: prod(sign[axis] for axis in parts) for name, sign in signs.items()}
        yield kind, " x ".join(parts), {name: product / HALVES for name, product in products.items()}
    for axis in axes:
        for kind, others in (("left out", 1), ("added", -1)):
            alone = {
                name: sign[axis]
                for name, sign in signs.items()
                if all(sign[other] == others for other in axes if other != axis)
            }
            yield kind, axis, alone
    for axis, other in permutations(axes, 2):
        for level, at in (("on", 1), ("off", -1)):
            given = {name: sign[axis] for name, sign in signs.items() if sign[other] == at}
            yield "given", f"{axis} | {other} {level}", {name: 2 * s / HALVES for name, s in given.items()}
    counts = {name: sum(sign.values()) for name, sign in signs.items()}
    yield (
        "whole",
        "all four",
        {name: count / len(axes) for name, count in counts.items() if abs(count) == len(axes)},
    )


def main():
    given = read_command_line(__doc__, "of its runs")
    grid = read_grid(given.grid)
    runs = collect(grid, given.folder)
    cells = {name: variant.cells for name, variant in grid.variants.items()}
    seeds = runs.seeds(*cells)
    if seeds != tuple(grid.seeds):
        raise SystemExit(f"only seeds {seeds} of all cells are complete; go on with observer ablate run")
    axes = list(next(iter(cells.values())))
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["kind", "of", "figure", "mean", "low", "high", "low_seeds", "high_seeds"])
        for figure in FIGURES:
            for kind, name, given_weights in weights(cells, axes):
                values_S_P = sum(w * runs.values(cell, seeds, figure) for cell, w in given_weights.items())
                bounds = None if figure.endswith("length") else (-1, 1)
                both, alone = crossed(values_S_P, bounds=bounds), student(values_S_P.mean(1).tolist())
                ends = (both.mean, *both.interval(), *alone.interval())
                lines.writerow([kind, name, figure, *(f"{end:.5f}" for end in ends)])


if __name__ == "__main__":
    main()
