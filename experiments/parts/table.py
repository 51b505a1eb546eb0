"""Prints the tables of docs/findings.md from the reports' CSV files, so that no figure is copied by hand.

    python experiments/parts/table.py main | order | controls | weak | handwriting | shifts

``tests/test_findings.py`` holds the page, and the README's share of it, to what this prints.
"""

import csv
import sys
from pathlib import Path

from observer.ablation.report.wording import number, p_text

HERE = Path(__file__).parent
BESIDE = ("sampled_accuracy", "sampled_format", "sampled_length")
"""What stands beside greedy accuracy: accuracy and format in points, length in tokens."""


def contrasts(report):
    """Contrast -> figure -> row of the contrasts that a grid has named, of the folder of its report."""
    with (report / "contrasts.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["role"] != "exploratory"]
    found = {}
    for row in rows:
        found.setdefault(row["contrast"], {})[row["figure"]] = row
    return found


def with_interval(row):
    """A difference with its interval, in points; tokens as they are."""
    scale = 1 if row["figure"].endswith("length") else 100
    mean, low, high = (number(scale * float(row[key]), signed=True) for key in ("difference", "low", "high"))
    return f"{mean} ({low} to {high})"


def markdown(heads, rows):
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]]


def table(report, head):
    """The lines of the table of a grid's contrasts."""
    found = contrasts(report)
    count = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}[len(found)]
    heads = [head, "greedy accuracy, points", f"Holm's p of {count}", "within 1 point of nothing"]
    heads += ["sampled accuracy, points", "sampled in format, points", "tokens of a sampled response"]
    rows = []
    for contrast, figures in found.items():
        tested = figures["accuracy"]
        shown = "shown" if tested["equivalent"] == "true" else "not shown"
        beside = [with_interval(figures[figure]) for figure in BESIDE]
        name = contrast.replace("_", " ")
        rows.append([name, with_interval(tested), p_text(float(tested["holm_p"])), shown, *beside])
    return markdown(heads, rows)


SHIFTS = {
    "usual": "boards as in training",
    "question": "the question reworded",
    "shades": "other shades of the colours",
    "jpeg": "JPEG of low quality",
    "colours": "dice of colours never seen, not asked for",
    "blur": "blurred",
    "targets": "nine dice to add",
    "grid": "boards of 4 x 4 cells",
    "wrong": "the picture of another board",
    "blank": "a blank picture",
}


def shifts():
    """The lines of the table of held-out boards unlike those of training."""
    with (HERE / "shifts.csv").open(encoding="utf-8") as file:
        found = {row["rows_of"]: row for row in csv.DictReader(file) if row["figure"] == "accuracy"}
    heads = ["1,024 boards", "the start, %", "GRPO, %", "all four parts, %", "all four less GRPO, points"]
    rows = []
    for name, told in SHIFTS.items():
        row = found[name]
        means = [number(100 * float(row[variant])) for variant in ("start", "grpo", "observe_r1")]
        rows.append([told, *means, with_interval(row)])
    return markdown(heads, rows)


TABLES = {
    "main": (HERE / "report" / "grid", "part"),
    **{name: (HERE / "report" / name, "contrast") for name in ("order", "controls", "weak")},
    "handwriting": (HERE.parent / "handwriting" / "parts_report", "part"),
}


def main():
    for name in sys.argv[1:]:
        print(*(shifts() if name == "shifts" else table(*TABLES[name])), "", sep="\n")


if __name__ == "__main__":
    main()
