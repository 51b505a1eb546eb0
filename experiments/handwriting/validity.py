"""Measures what the measured difficulty of the handwriting ladder is worth, and draws it.

    python experiments/handwriting/validity.py [runs/handwriting-ladder]

- Reliability: the 8 responses of a board are split into two halves of 4, in all 35 ways; the mean correlation
  (Pearson) of the two difficulties, stepped up to 8 responses by Spearman and Brown's formula. Within a level
  the number of digits explains nothing of it.
- Validity: a nearest-neighbour classifier that has seen the 2,000 digits of the start, and no board, misreads
  some digits. Within a level: the correlation (Spearman) of how many of a board's it misreads with the
  measured difficulty.

A digit is on 14 boards on average, so boards that share one are not independent. Intervals are 95 %, by the
influence of each board on a correlation: the variance is the sum of the products of influences over all pairs
of boards that share a digit.

Writes validity.json and validity.png beside this file.

Reference: Cameron, Gelbach and Miller 2011, Journal of Business & Economic Statistics 29, 238-249 (several
ways of clustering); Aronow, Samii and Assenova 2015, Political Analysis 23, 564-577 (pairs with a member in
common).
"""

import argparse
import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import rankdata

from observer.data.handwriting.digits import digits
from observer.data.handwriting.rows import LEVELS, PARTS, Handwriting

HERE = Path(__file__).parent
ROWS, RESPONSES, NORMAL = 8004, 8, 1.959964
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/handwriting-ladder"))
    row_N, right_N_R = responses(parser.parse_args().folder)
    rows = Handwriting(rows=ROWS).read()
    boards = [rows[row].metadata for row in row_N.tolist()]
    level_N = rows.level[row_N]
    misread, share = misread_digits()
    misread_N = np.array(
        [
            sum(digit in misread for digit in zip(board["digits"], board["numbers"], strict=True))
            for board in boards
        ]
    )
    difficulty_N = 1 - right_N_R.mean(1)
    found = {
        "boards": len(row_N),
        "digits misread": share,
        "reliability, all levels": with_interval(*reliability(right_N_R), boards),
        "levels": {},
    }
    for level in range(1, LEVELS + 1):
        at = level_N == level
        those = [board for board, good in zip(boards, at, strict=True) if good]
        found["levels"][level] = {
            "boards": int(at.sum()),
            "difficulty": float(difficulty_N[at].mean()),
            "difficulty where all digits are read": float(difficulty_N[at & (misread_N == 0)].mean()),
            "difficulty where one or more are misread": float(difficulty_N[at & (misread_N > 0)].mean()),
            "boards with a misread digit": float((misread_N[at] > 0).mean()),
            "reliability": with_interval(*reliability(right_N_R[at]), those),
            "correlation": with_interval(
                *correlation(rankdata(difficulty_N[at]), rankdata(misread_N[at])), those
            ),
        }
    (HERE / "validity.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    draw(found)


def responses(folder):
    """Return the rows that were measured, (N,), and whether each response was right, (N, R)."""
    rows, right = [], []
    for path in sorted((folder / "work" / "Measure").glob("*.arrow")):
        with pa.memory_map(str(path)) as mapped:
            batch = pa.ipc.open_file(mapped).get_batch(0)
        rows += batch["row"].to_pylist()
        right += [
            [one["verdict"] == "correct" for one in samples] for samples in batch["samples"].to_pylist()
        ]
    return np.array(rows), np.array(right, float)


def misread_digits():
    """Return the digits of training whose nearest one of the start is another, and their share."""
    classes = digits("mnist")

    def part(split):
        first, last = PARTS[split]
        pixels = np.concatenate([digit[first:last].reshape(last - first, -1) for digit in classes]).astype(
            np.float32
        )
        return pixels, [(value, number) for value in range(10) for number in range(first, last)]

    (seen, names), (unseen, others) = part("start"), part("train")
    squares = (unseen**2).sum(1)[:, None] - 2 * unseen @ seen.T + (seen**2).sum(1)
    wrong = {
        other
        for other, nearest in zip(others, squares.argmin(1), strict=True)
        if names[nearest][0] != other[0]
    }
    return wrong, len(wrong) / len(others)


def reliability(right_N_R):
    """Return the split-half reliability of a mean of R responses, and each board's influence on it, (N,)."""
    halves = [(0, *rest) for rest in combinations(range(1, RESPONSES), RESPONSES // 2 - 1)]
    others = [sorted(set(range(RESPONSES)) - set(half)) for half in halves]
    found = [
        correlation(right_N_R[:, half].mean(1), right_N_R[:, other].mean(1))
        for half, other in zip(halves, others, strict=True)
    ]
    mean = np.mean([one for one, _ in found])
    influence_N = np.mean([influence_N for _, influence_N in found], axis=0)
    return 2 * mean / (1 + mean), 2 / (1 + mean) ** 2 * influence_N


def correlation(one_N, other_N):
    """Return the correlation, and each board's influence on it, (N,)."""
    one_N, other_N = ((values_N - values_N.mean()) / values_N.std() for values_N in (one_N, other_N))
    found = (one_N * other_N).mean()
    return found, one_N * other_N - found / 2 * (one_N**2 + other_N**2)


def with_interval(found, influence_N, boards):
    """Return an estimate with the ends of its interval, for boards of which some share a digit."""
    holders = defaultdict(list)
    for place, board in enumerate(boards):
        for digit in zip(board["digits"], board["numbers"], strict=True):
            holders[digit].append(place)
    together = np.zeros((len(boards), len(boards)), bool)
    for places in holders.values():
        together[np.ix_(places, places)] = True
    error = float(np.sqrt(influence_N @ together @ influence_N)) / len(boards)
    return [float(found), float(found - NORMAL * error), float(found + NORMAL * error)]


def table(found):
    """Return the figures as Markdown."""
    lines = [
        "| level | boards | difficulty | of boards whose digits are all read | of those with a misread "
        "digit | reliability | correlation with misread digits |",
        "|---|---|---|---|---|---|---|",
    ]
    for level, one in found["levels"].items():
        spans = ["{:.2f} ({:.2f} to {:.2f})".format(*one[name]) for name in ("reliability", "correlation")]
        cells = [
            str(level),
            f"{one['boards']:,}",
            f"{one['difficulty']:.2f}",
            f"{one['difficulty where all digits are read']:.2f}",
            f"{one['difficulty where one or more are misread']:.2f} "
            f"({one['boards with a misread digit']:.0%} of boards)",
            *spans,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    span = "{:.2f} ({:.2f} to {:.2f})".format(*found["reliability, all levels"])
    return "\n".join(
        [*lines, "", f"Reliability over all levels {span}; digits misread {found['digits misread']:.1%}."]
    )


def draw(found):
    """Draw difficulty by level for boards that are read and misread, and the correlations."""
    figure = Figure(figsize=(8, 3.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    levels = list(found["levels"])
    for name, colour, label in (
        ("difficulty where all digits are read", BLUE, "nearest neighbour reads all digits"),
        ("difficulty where one or more are misread", ORANGE, "misreads one or more"),
    ):
        left.plot(levels, [found["levels"][level][name] for level in levels], "o-", color=colour, label=label)
    left.set(title="Measured difficulty", xlabel="digits on the board", ylabel="1 - right of 8", ylim=(0, 1))
    left.legend(frameon=False, fontsize=8)
    for name, colour, label in (
        ("reliability", GREY, "split-half reliability"),
        ("correlation", BLUE, "correlation with misread digits"),
    ):
        middle, low, high = np.array([found["levels"][level][name] for level in levels]).T
        right.errorbar(
            levels, middle, [middle - low, high - middle], fmt="o", color=colour, label=label, capsize=3
        )
    right.set(title="Within a level", xlabel="digits on the board", ylim=(0, 1))
    right.legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "validity.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
