"""Rows that are planted among tiles, and how many of them a build finds with the tiny model, level by level.

    python experiments/ladder/planted.py --output runs/planted

Of 1,000 tiles 200 get a wrong gold answer, and 200 others the answer that the model gives most often without
the picture, so that they can be solved without it. It prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from observer.data import RowFormat, Rows, Tiles
from observer.ladder import AskedModel, Measure, NoPicture, Recipe, Review, Verifiable, build
from observer.ladder.asker import ModelAsker
from observer.ladder.asking import Ask
from observer.ladder.selecting import removed
from observer.ladder.steps.measure import same
from observer.ladder.steps.no_picture import without_pictures
from observer.rewards import Observe
from observer.types import Problem

ROWS, PLANTED = 1000, 200
PLAIN = Observe(system_prompt="")
MODEL = AskedModel("observer:tiles", max_prompt_tokens=64)


class Changed(Rows):
    """Rows of which some have another gold answer."""

    def __init__(self, rows: Rows, golds: dict[int, str]) -> None:
        self._rows, self._golds = rows, golds
        self.difficulty, self.complexity, self.level = rows.difficulty, rows.complexity, rows.level
        self.source, self.sources = rows.source, rows.sources

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Problem:
        problem = self._rows[row]
        return replace(problem, answer=self._golds.get(row, problem.answer))

    def checked_rows(self) -> Iterable[int]:
        """Return those of the tiles."""
        return self._rows.checked_rows()


@dataclass(frozen=True)
class Planted(RowFormat):
    """Tiles with planted gold answers: (row, answer) each."""

    golds: tuple[tuple[int, str], ...]

    def read(self) -> Rows:
        """Draw the tiles."""
        return Changed(Tiles(rows=ROWS).read(), dict(self.golds))


def blind_answers(problems: list[Problem]) -> list[str]:
    """Return what the model says most often of each problem without its picture."""
    asker = ModelAsker(MODEL, seed=1)
    ask = Ask(PLAIN, 8, 64, 1.0, "planted")
    try:
        asked = asker.ask([without_pictures(problem) for problem in problems], ask)
    finally:
        asker.close()
    counts = [Counter(same(score.extracted or "0") for _, score in responses) for responses in asked]
    return [count.most_common(1)[0][0] for count in counts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/planted"))
    folder = parser.parse_args().output
    tiles = Tiles(rows=ROWS).read()
    level_R = np.asarray(tiles.level)
    order = np.random.default_rng(0).permutation(ROWS)
    each = PLANTED // len(set(level_R.tolist()))
    by_level = {level: order[level_R[order] == level] for level in sorted(set(level_R.tolist()))}
    wrong = [int(row) for rows in by_level.values() for row in rows[:each]]
    blind = [int(row) for rows in by_level.values() for row in rows[each : 2 * each]]
    golds = {row: str(int(tiles[row].answer) + 1 + row % 5) for row in wrong}
    golds |= dict(zip(blind, blind_answers([tiles[row] for row in blind]), strict=True))
    asks = {"responses": 8, "max_tokens": 64, "response_format": PLAIN}
    steps = (Verifiable(), Measure(**asks), NoPicture(**asks), Review(most=PLANTED))
    build(Recipe(Planted(tuple(sorted(golds.items()))), steps, MODEL), folder)
    lines = map(json.loads, (folder / "review.jsonl").read_text(encoding="utf-8").splitlines())
    listed = {line["row"] for line in lines if line["step"] == "Review"}
    gone = {line["row"] for line in removed(folder / "removed.jsonl") if line["step"] == "NoPicture"}
    print("| level | rows | wrong golds | of them listed | blind | of them removed | others removed |")
    print("|---|---|---|---|---|---|---|")
    for level, rows in [*by_level.items(), ("all", order)]:
        here = set(rows.tolist())
        w, b = here & set(wrong), here & set(blind)
        others = here - set(blind)
        print(
            f"| {level} | {len(here)} | {len(w)} | {len(w & listed)} ({len(w & listed) / len(w):.0%}) | "
            f"{len(b)} | {len(b & gone)} ({len(b & gone) / len(b):.0%}) | "
            f"{len(others & gone)} of {len(others)} |"
        )
    print(f"\nOf {len(listed)} listed rows {len(listed & set(wrong))} have a planted wrong gold answer.")


if __name__ == "__main__":
    main()
