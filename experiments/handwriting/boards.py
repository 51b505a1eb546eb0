"""Draws boards of the handwriting ladder by their measured difficulty.

    python experiments/handwriting/boards.py [runs/handwriting-ladder]

Of each number of digits the first board that was read right in all 8 responses and the first in none; writes
boards.png beside this file.
"""

import argparse
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from observer.data.handwriting.rows import LEVELS

HERE = Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/handwriting-ladder"))
    folder = parser.parse_args().folder
    texts = [(folder / f"{name}.jsonl").read_text() for name in ("ladder", "control")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    figure = Figure(figsize=(8, 2.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, LEVELS)
    for place, (difficulty, label) in enumerate(((0.0, "right 8 of 8"), (1.0, "right 0 of 8"))):
        for level in range(LEVELS):
            row = next(
                one
                for one in lines
                if one.get("difficulty") == difficulty and len(one["metadata"]["digits"]) == level + 1
            )
            [picture] = [
                item["image"] for item in json.loads(row["message"])[-1]["content"] if "image" in item
            ]
            shown = axes[place, level]
            shown.imshow(Image.open(folder / picture))
            shown.set(xticks=[], yticks=[], xlabel=f"sum {row['answer']}")
        axes[place, 0].set_ylabel(label)
    figure.savefig(HERE / "boards.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
