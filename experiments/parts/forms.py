"""Tells which of its four forms each run answers in, and how often each is right.

    python experiments/parts/forms.py experiments/parts/grid.yaml runs/parts --csv forms.csv

A row per run: its greedy answers (accuracy, shares that observe and that are verbose), then share and
accuracy of each form of its sampled answers; no accuracy where there are fewer than 50 of a form.
"""

import csv

import numpy as np
from command_line import read_command_line
from starts import FORMS

from observer.ablation.grid import read_grid
from observer.metrics import read_outcomes

FEWEST = 50


def row(folder):
    """The figures of a run's answers."""
    table = read_outcomes(folder / "heldout.parquet").select(["mode", "verdict", "text"]).to_pydict()
    greedy = np.array([mode == "greedy" for mode in table["mode"]])
    right = np.array([verdict == "correct" for verdict in table["verdict"]])
    observes = np.array(["<observe>" in text for text in table["text"]])
    verbose = np.array([" , " in text for text in table["text"]])
    figures = [right[greedy].mean(), observes[greedy].mean(), verbose[greedy].mean()]
    for observed, long in FORMS.values():
        of_form = ~greedy & (observes == observed) & (verbose == long)
        figures += [
            of_form.sum() / (~greedy).sum(),
            right[of_form].mean() if of_form.sum() >= FEWEST else None,
        ]
    return ["" if figure is None else f"{figure:.4f}" for figure in figures]


def main():
    given = read_command_line(__doc__, "of its runs")
    heads = ["variant", "seed", "greedy_accuracy", "greedy_observes", "greedy_verbose"]
    for form in FORMS:
        heads += [f"{form.replace(', ', '_')}_{what}" for what in ("share", "accuracy")]
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(heads)
        for run in read_grid(given.grid).runs(given.folder):
            if (run.folder / "heldout.parquet").is_file():
                lines.writerow([run.variant, run.seed, *row(run.folder)])


if __name__ == "__main__":
    main()
