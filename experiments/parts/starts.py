"""Collects the held-out curves of starts, the forms of their responses, and how hard each level is for them.

    python experiments/parts/starts.py runs/parts-start-* --csv starts.csv

The last line is what the grids take as ``difficulty``: the share of wrong answers at temperature 1 by level,
the mean over the starts.
"""

import argparse
import csv
import json
from pathlib import Path
from statistics import fmean

from observer.metrics import read_outcomes

FIGURES = ("accuracy", "sampled_accuracy", "format", "sampled_format", "length", "sampled_length")
FORMS = {
    "think": (False, False),
    "think, verbose": (False, True),
    "observe": (True, False),
    "observe, verbose": (True, True),
}


def curve(run):
    """The evaluations of a run, in order."""
    return [json.loads(line) for line in (run / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


def forms(run):
    """Share, accuracy and tokens of each form of the sampled answers; how much longer verbose ones are."""
    answers = read_outcomes(run / "heldout.parquet").to_pylist()
    answers = [one for one in answers if one["mode"] == "sampled"]
    of_form = {
        name: [one for one in answers if ("<observe>" in one["text"], " , " in one["text"]) == form]
        for name, form in FORMS.items()
    }
    for name, found in of_form.items():
        right = fmean(one["verdict"] == "correct" for one in found)
        tokens = fmean(one["length"] for one in found)
        yield f"{name} {len(found) / len(answers):.2f} (right {right:.2f}, {tokens:.0f} tokens)"

    def tokens(name, level):
        return fmean(one["length"] for one in of_form[name] if one["level"] == level)

    levels = {one["level"] for one in answers}
    pairs = [(form, level) for form in ("think", "observe") for level in levels]
    ratios = [tokens(f"{form}, verbose", level) / tokens(form, level) for form, level in pairs]
    yield f"verbose has {min(ratios):.2f} to {max(ratios):.2f} times the tokens of terse, by level"
    yield f"cut off {fmean(one['truncated'] for one in answers):.4f}"


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
            figures = ", ".join(f"{name} {ends[-1][name]:.3f}" for name in FIGURES)
            print(f"{run.name}: {ends[-1]['split']} after {ends[-1]['step']} steps: {figures}")
            print("  sampled: " + "; ".join(forms(run)))
    levels = ends[0]["sampled_levels"]
    print(
        "difficulty:", [round(1 - fmean(end["sampled_levels"][level] for end in ends), 3) for level in levels]
    )


if __name__ == "__main__":
    main()
