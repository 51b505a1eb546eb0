"""Measures what the measured difficulty of the handwriting ladder is worth, and draws it.

    python experiments/handwriting/validity.py [runs/handwriting-ladder]

- Reliability: the 8 responses of a board are split into two halves of 4, in all 35 ways; the mean correlation (Pearson) of
  the two difficulties, stepped up to 8 responses by Spearman and Brown's formula. Within a level the number of digits
  explains nothing of it.
- Validity: a nearest-neighbour classifier that has seen the 2,000 digits of the start, and no board, misreads some digits. Within
  a level: the correlation (Spearman) of how many of a board's it misreads with the measured difficulty.

A digit is on 14 boards on average, so boards are not independent. Intervals are 95 % of 1,000 bootstraps over digits: each digit
has a weight drawn from Exponential(1), and a board the product of its digits' weights.

Writes validity.json and validity.png beside this file.

Reference: Owen and Eckles 2012, Annals of Applied Statistics 6, 895-927 (bootstraps by products of weights).
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import rankdata

from observer.data.handwriting import Handwriting
from observer.data.handwriting.digits import digits
from observer.data.handwriting.rows import LEVELS, PARTS

HERE = Path(__file__).parent
ROWS, RESPONSES, BOOTSTRAPS = 8004, 8, 1000
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
        [sum((value, number) in misread for value, number in zip(board["digits"], board["numbers"])) for board in boards]
    )
    difficulty_N = 1 - right_N_R.mean(1)
    weights_B_N = board_weights(boards)

    def with_interval(statistic):
        spread = [statistic(weights_N) for weights_N in weights_B_N]
        return [statistic(np.ones(len(row_N))), *np.quantile(spread, [0.025, 0.975]).tolist()]

    found = {
        "boards": len(row_N),
        "digits misread": share,
        "reliability, all levels": with_interval(lambda weights_N: reliability(right_N_R, weights_N)),
        "levels": {},
    }
    for level in range(1, LEVELS + 1):
        at = level_N == level
        found["levels"][level] = {
            "boards": int(at.sum()),
            "difficulty": float(difficulty_N[at].mean()),
            "difficulty where all digits are read": float(difficulty_N[at & (misread_N == 0)].mean()),
            "difficulty where one or more are misread": float(difficulty_N[at & (misread_N > 0)].mean()),
            "boards with a misread digit": float((misread_N[at] > 0).mean()),
            "reliability": with_interval(lambda weights_N, at=at: reliability(right_N_R[at], weights_N[at])),
            "correlation": with_interval(
                lambda weights_N, at=at: spearman(difficulty_N[at], misread_N[at], weights_N[at])
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
        right += [[one["verdict"] == "correct" for one in samples] for samples in batch["samples"].to_pylist()]
    return np.array(rows), np.array(right, float)


def misread_digits():
    """Return (value, number) of the digits of training that the nearest of the start's is not like; their share."""
    classes = digits("mnist")

    def part(split):
        first, last = PARTS[split]
        pixels = np.concatenate([digit[first:last].reshape(last - first, -1) for digit in classes]).astype(np.float32)
        return pixels, [(value, number) for value in range(10) for number in range(first, last)]

    (seen, names), (unseen, others) = part("start"), part("train")
    squares = (unseen**2).sum(1)[:, None] - 2 * unseen @ seen.T + (seen**2).sum(1)
    wrong = {other for other, nearest in zip(others, squares.argmin(1)) if names[nearest][0] != other[0]}
    return wrong, len(wrong) / len(others)


def board_weights(boards):
    """Return weights of boards for bootstraps over digits, (B, N)."""
    rng = np.random.default_rng(0)
    weights_B_C_D = rng.exponential(size=(BOOTSTRAPS, 10, PARTS["train"][1]))
    return np.stack(
        [weights_B_C_D[:, board["digits"], board["numbers"]].prod(1) for board in boards], axis=1
    )


def reliability(right_N_R, weights_N):
    """Return the split-half reliability of a mean of R responses."""
    everyone = set(range(RESPONSES))
    halves = [(0, *rest) for rest in combinations(range(1, RESPONSES), RESPONSES // 2 - 1)]
    found = np.mean(
        [
            correlation(right_N_R[:, half].mean(1), right_N_R[:, sorted(everyone - set(half))].mean(1), weights_N)
            for half in halves
        ]
    )
    return float(2 * found / (1 + found))


def spearman(one_N, other_N, weights_N):
    """Return the correlation of ranks; the ranks are those of all boards, whatever their weights."""
    return correlation(rankdata(one_N), rankdata(other_N), weights_N)


def correlation(one_N, other_N, weights_N):
    """Return the weighted correlation."""
    share_N = weights_N / weights_N.sum()
    one_N, other_N = one_N - share_N @ one_N, other_N - share_N @ other_N
    return float(share_N @ (one_N * other_N) / np.sqrt((share_N @ one_N**2) * (share_N @ other_N**2)))


def table(found):
    """Return the figures as Markdown."""
    lines = [
        "| level | boards | difficulty | of boards whose digits are all read | of those with a misread digit | "
        "reliability | correlation with misread digits |",
        "|---|---|---|---|---|---|---|",
    ]
    for level, one in found["levels"].items():
        spans = ["{:.2f} ({:.2f} to {:.2f})".format(*one[name]) for name in ("reliability", "correlation")]
        cells = [
            str(level),
            f"{one['boards']:,}",
            f"{one['difficulty']:.2f}",
            f"{one['difficulty where all digits are read']:.2f}",
            f"{one['difficulty where one or more are misread']:.2f} ({one['boards with a misread digit']:.0%} of boards)",
            *spans,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    span = "{:.2f} ({:.2f} to {:.2f})".format(*found["reliability, all levels"])
    return "\n".join([*lines, "", f"Reliability over all levels {span}; digits misread {found['digits misread']:.1%}."])


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
        right.errorbar(levels, middle, [middle - low, high - middle], fmt="o", color=colour, label=label, capsize=3)
    right.set(title="Within a level", xlabel="digits on the board", ylim=(0, 1))
    right.legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "validity.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
