"""The rows of the tiles ladder: "What is the sum of the red tiles?" over a drawn board, at eight levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from PIL import Image

from observer.data.rows import RowFormat, Rows
from observer.data.tiles.draw import COLOURS, GRID, SIDE, blank_board, draw_board
from observer.seeding import stable_seed
from observer.types import Picture, Problem, RefusedError, Turn

Split = Literal["train", "val", "test"]
Shown = Literal["right", "blank", "wrong"]

LEVELS = 8
DISTRACTORS = (0, 0, 1, 1, 2, 2, 2, 1)
"""The most tiles of other colours, by level."""
DIFFICULTY = (0.0, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875, 0.875)
"""Share of wrong answers of the shipped checkpoint at temperature 1, by level, rounded to 1/8."""
COMPLEXITY = (13, 18, 24, 31, 37, 43, 49, 55)
"""Mean tokens of a worked solution, the end token included, by level, rounded."""


@dataclass(frozen=True)
class Tiles(RowFormat):
    """Procedural boards of coloured die tiles, with the question for the sum of one colour.

    Row r is of level r % 8 + 1, and level k has k tiles of the colour asked for. The three splits never share
    a row or a picture; but low levels have few boards (216 at level 1), which recur with other noise.

    Args:
        rows: how many; multiples of 8 give equal levels.
        split: train, val or test.
        picture: ``right``; ``blank`` or ``wrong`` (the board of another row of the same level) are controls
            that show how much is answered without looking.
    """

    rows: int = 65536
    split: Split = "train"
    picture: Shown = "right"

    def __post_init__(self) -> None:
        if self.rows < LEVELS:
            raise RefusedError(f"Tiles.rows is {self.rows}; it must be at least {LEVELS}, one row a level")
        for name, value, known in (("split", self.split, Split), ("picture", self.picture, Shown)):
            if value not in get_args(known):
                raise RefusedError(
                    f"Tiles.{name} is {value!r}; it must be one of {', '.join(get_args(known))}"
                )

    def read(self) -> Rows:
        """Return the rows; see ``RowFormat``."""
        return _TilesRows(self)


class _TilesRows(Rows):
    def __init__(self, tiles: Tiles) -> None:
        levels_R = np.arange(tiles.rows, dtype=np.int64) % LEVELS
        self.difficulty = np.asarray(DIFFICULTY, np.float32)[levels_R]
        self.complexity = np.asarray(COMPLEXITY, np.float32)[levels_R]
        self.level = levels_R + 1
        self.sources = ("tiles",)
        self._tiles = tiles

    def __len__(self) -> int:
        return self._tiles.rows

    def checked_rows(self) -> Iterable[int]:
        return range(LEVELS)

    def __getitem__(self, row: int) -> Problem:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        split, picture = self._tiles.split, self._tiles.picture
        board, colour = _board(split, row)
        pips = [value for _, (tint, value) in sorted(board.items()) if tint == colour]
        shown = row + LEVELS if picture == "wrong" else row  # of the same level, also beyond the last row
        return Problem(
            id=f"tiles-{split}-{row}",
            row=row,
            turns=(Turn("user", f"<image>What is the sum of the {colour} tiles?"),),
            answer=str(sum(pips)),
            kind="integer",
            pictures=(
                Picture(
                    name=f"tiles-{split}-{shown}" if picture != "blank" else "blank",
                    size=lambda: (SIDE, SIDE),
                    load=blank_board if picture == "blank" else partial(_draw, split, shown),
                ),
            ),
            difficulty=float(self.difficulty[row]),
            complexity=float(self.complexity[row]),
            level=int(self.level[row]),
            metadata={"colour": colour, "pips": pips, "solution": solution(pips)},
            source=f"tiles {split}",
        )


def _board(split: str, row: int) -> tuple[dict[int, tuple[str, int]], str]:
    """Return the tiles of a row by cell, and the colour asked for."""
    rng = np.random.default_rng(stable_seed("tiles", split, row))
    level = row % LEVELS + 1
    distractors = int(rng.integers(0, DISTRACTORS[level - 1] + 1))
    cells = rng.permutation(GRID * GRID)[: level + distractors].tolist()
    colours = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))]
    tiles = {
        cell: (
            colours[0] if place < level else colours[int(rng.integers(1, len(colours)))],
            int(rng.integers(1, 7)),
        )
        for place, cell in enumerate(cells)
    }
    return tiles, colours[0]


def _draw(split: str, row: int) -> Image.Image:
    board, _ = _board(split, row)
    return draw_board(board, np.random.default_rng(stable_seed("tiles noise", split, row)))


def solution(pips: list[int]) -> str:
    """Return a worked solution in the observe-think-answer format, pips in reading order.

    >>> solution([4, 5, 2])
    '<observe> 4 5 2 </observe><think> 4 + 5 = 9 + 2 = 11 </think><answer> 11 </answer>'
    """
    total, steps = pips[0], [str(pips[0])]
    for value in pips[1:]:
        total += value
        steps.append(f"+ {value} = {total}")
    observed = " ".join(map(str, pips))
    return f"<observe> {observed} </observe><think> {' '.join(steps)} </think><answer> {total} </answer>"
