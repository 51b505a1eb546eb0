"""Tells what variants and their starts answer elsewhere, from the answers of ``observer evaluate``.

    python experiments/parts/shifts.py runs/parts-shifts start grpo observe_r1 --seeds 0 1 2 3 4 --csv FILE

Writes a row per benchmark and figure: the mean of each variant, the paired difference of the last to the
one before it (same seed, same row) and its 95 % interval over seeds and rows. None of it is a primary
contrast.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from observer.statistics import crossed

FIGURES = {
    "accuracy": lambda greedy: greedy["verdict"] == "correct",
    "tokens": lambda greedy: greedy["tokens"],
    "well_formed": lambda greedy: greedy["chain"]["well_formed"],
    "follows": lambda greedy: greedy["chain"]["follows"],
    "true_facts": lambda greedy: greedy["chain"]["true_facts"],
}
"""Of a greedy response; nan where it does not apply."""


def read(folder, benchmark):
    """The ids of the rows, and figure -> its value of each row."""
    table = pq.read_table(folder / "answers" / f"{benchmark}.parquet", columns=["id", "greedy"])
    greedy = table["greedy"].to_pylist()
    values = {name: np.array([value(one) for one in greedy], dtype=float) for name, value in FIGURES.items()}
    return table["id"].to_pylist(), values


def told(benchmark, of_variants):
    """Yield a row of the table for each figure, given the values of each variant by seed."""
    for name in FIGURES:
        all_values = [np.stack([values[name] for values in each]) for each in of_variants]
        first, second = all_values[-2:]
        there = ~np.isnan(np.concatenate([first, second])).any(0)  # in all runs of both
        means = [float(np.nanmean(each)) for each in all_values]
        if there.sum() > 1:
            bounds = None if name == "tokens" else (-1, 1)
            difference = crossed(second[:, there] - first[:, there], bounds=bounds)
            low, high = difference.interval()
            yield [benchmark, name, int(there.sum()), *means, difference.mean, low, high]
        else:
            yield [benchmark, name, int(there.sum()), *means, None, None, None]
    per_right = [
        sum(v["tokens"].sum() for v in each) / max(sum(v["accuracy"].sum() for v in each), 1)
        for each in of_variants
    ]
    yield [benchmark, "tokens_per_correct", len(of_variants[0][0]["tokens"]), *per_right, None, None, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of evaluations, VARIANT-SEED")
    parser.add_argument("variants", nargs="+", help="two or more")
    parser.add_argument("--seeds", nargs="+", required=True)
    parser.add_argument("--csv", required=True, type=Path)
    given = parser.parse_args()
    if len(given.variants) < 2:
        parser.error("give two variants or more")
    folders = [[given.folder / f"{variant}-{seed}" for seed in given.seeds] for variant in given.variants]
    benchmarks = sorted(path.stem for path in (folders[0][0] / "answers").glob("*.parquet"))
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["rows_of", "figure", "rows", *given.variants, "difference", "low", "high"])
        for benchmark in benchmarks:
            found = [[read(folder, benchmark) for folder in of_variant] for of_variant in folders]
            if len({tuple(ids) for each in found for ids, _ in each}) > 1:
                raise SystemExit(f"{benchmark}: the evaluations asked other rows; make them anew")
            for row in told(benchmark, [[values for _, values in each] for each in found]):
                cells = [
                    "" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row
                ]
                lines.writerow(cells)
                print(*cells, sep="  ")


if __name__ == "__main__":
    main()
