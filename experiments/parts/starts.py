"""Collects the held-out curves of the starts, and how hard each level is for them.

    python experiments/parts/starts.py runs/parts-start-* --csv experiments/parts/starts.csv

Prints what the grids take as ``difficulty``: the share of wrong answers at temperature 1 by level, the mean over
the starts.
"""

import argparse
import csv
import json
from pathlib import Path
from statistics import fmean

FIGURES = ("accuracy", "sampled_accuracy", "format", "sampled_format", "length", "sampled_length")


def curve(run):
    """The evaluations of a run, in order."""
    return [json.loads(line) for line in (run / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--csv", required=True, type=Path, help="the curves, a row per evaluation")
    given = parser.parse_args()
    ends = []
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["start", "step", "split", *FIGURES])
        for run in given.runs:
            for point in (points := curve(run)):
                lines.writerow([run.name, point["step"], point["split"], *(point[name] for name in FIGURES)])
            ends.append(points[-1])
            shown = ", ".join(f"{name} {ends[-1][name]:.3f}" for name in FIGURES)
            print(f"{run.name}: {ends[-1]['split']} after {ends[-1]['step']} steps: {shown}")
    wrong = {level: 1 - fmean(end["sampled_levels"][level] for end in ends) for level in ends[0]["sampled_levels"]}
    print("difficulty:", [round(share, 3) for share in wrong.values()])


if __name__ == "__main__":
    main()
