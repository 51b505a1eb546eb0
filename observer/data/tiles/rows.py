"""The rows of the tiles ladder: "What is the sum of the red tiles?" over a drawn board, at eight levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from observer.data.rows import RowFormat, Rows
from observer.data.tiles.draw import COLOURS, GRID, SIDE, USUAL, VIEWS, blank_board, draw_board
from observer.data.tiles.solutions import Solutions, solution
from observer.refusal import refuse_unknown
from observer.seeding import stable_seed
from observer.types import Picture, Problem, RefusedError, Turn

Split = Literal["train", "val", "test"]
Shown = Literal["right", "blank", "wrong"]
Axes = Literal["chain", "chain_and_perception"]

LEVELS = 8
DISTRACTORS = (0, 0, 1, 1, 2, 2, 2, 1)
"""The most tiles of other colours, by level, in the usual view."""
DISTRACTORS_BY_VIEW = (0, None, 3, 5)
"""The most tiles of other colours in the other views, if there is room for them."""
DIFFICULTY = (0.0, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875, 0.875)
"""Share of wrong answers of the shipped checkpoint at temperature 1, by level, rounded to 1/8."""
DIFFICULTY_BY_VIEW = (
    (0.0, 0.125, 0.125, 0.25, 0.5, 0.625, 0.875, 0.875),
    DIFFICULTY,
    (0.625, 0.625, 0.625, 0.625, 0.75, 0.75, 0.875, 0.875),
    (0.75, 0.75, 0.75, 0.875, 0.875, 0.875, 0.875, 1.0),
)
"""The same by view, measured with ``experiments/curriculum/axes.py``."""
COMPLEXITY = (13, 18, 24, 31, 37, 43, 49, 55)
"""Mean tokens of a worked solution, the end token included, by level, rounded."""


@dataclass(frozen=True)
class Tiles(RowFormat):
    """Procedural boards of coloured die tiles, with the question for the sum of one colour.

    Row r is of level r % 8 + 1, and level k has k tiles of the colour asked for: a longer chain of thought.
    The three splits never share a row or a picture; but low levels have few boards (216 at level 1), which
    recur with other noise.

    On request there is a second axis, how hard a board is to see: view 0 to 3, the more the smaller the pips,
    the more noise and the more tiles of other colours. Row r is then of view r // 8 % 4 whatever its level,
    so that complexity, which follows the chain, and difficulty, which follows both, can be told apart.
    Metadata state both: ``chain`` and ``perception``.

    Args:
        rows: how many; multiples of 8 give equal levels.
        split: train, val or test.
        picture: ``right``; ``blank`` or ``wrong`` (the board of another row of the same level) are controls
            that measure how much is answered without the picture.
        axes: ``chain``, all boards in the usual view (1); or ``chain_and_perception``, each independent of
            the other.
        solutions: ``terse``, one form; or ``varied``, one of four forms for each row, with and without a
            list of what is seen, terse and verbose. A cold start on these has responses that differ in
            format and length under one prompt, so that rewards for either have something to choose from.
    """

    rows: int = 65536
    split: Split = "train"
    picture: Shown = "right"
    axes: Axes = "chain"
    solutions: Solutions = "terse"

    def __post_init__(self) -> None:
        if self.rows < LEVELS:
            raise RefusedError(f"Tiles.rows is {self.rows}; it must be at least {LEVELS}, one row a level")
        refuse_unknown(self, "split", Split)
        refuse_unknown(self, "picture", Shown)
        refuse_unknown(self, "axes", Axes)
        refuse_unknown(self, "solutions", Solutions)

    def read(self) -> Rows:
        """Return the rows; see ``RowFormat``."""
        return _TilesRows(self)


class _TilesRows(Rows):
    def __init__(self, tiles: Tiles) -> None:
        levels_R = np.arange(tiles.rows, dtype=np.int64) % LEVELS
        views_R, self._period = np.full(tiles.rows, USUAL), LEVELS
        if tiles.axes == "chain_and_perception":
            views_R, self._period = np.arange(tiles.rows) // LEVELS % len(VIEWS), LEVELS * len(VIEWS)
        self.difficulty = np.asarray(DIFFICULTY_BY_VIEW, np.float32)[views_R, levels_R]
        self.complexity = np.asarray(COMPLEXITY, np.float32)[levels_R]
        self.level = levels_R + 1
        self.sources = ("tiles",)
        self._tiles = tiles
        self._views_R = views_R

    def __len__(self) -> int:
        return self._tiles.rows

    def checked_rows(self) -> Iterable[int]:
        return range(min(len(self), self._period))

    def fingerprints(self) -> np.ndarray:
        """Return mixed bits of the row's number and of the options that say what it shows."""
        options = stable_seed("tiles", self._tiles.split, self._tiles.axes, self._tiles.picture)
        bits_R = np.arange(len(self), dtype=np.uint64) ^ np.uint64(options % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits_R = (bits_R ^ bits_R >> np.uint64(shift)) * np.uint64(factor)  # wraps around
        return bits_R ^ bits_R >> np.uint64(31)

    def __getitem__(self, row: int) -> Problem:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        split, picture, view = self._tiles.split, self._tiles.picture, int(self._views_R[row])
        name = split if self._tiles.axes == "chain" else f"{split}-seen"
        board, colour = _board(name, row, view)
        pips = [value for _, (tint, value) in sorted(board.items()) if tint == colour]
        # Of the same level and view, also beyond the last row.
        shown = row + self._period if picture == "wrong" else row
        return Problem(
            id=f"tiles-{name}-{row}",
            row=row,
            turns=(Turn("user", f"<image>What is the sum of the {colour} tiles?"),),
            answer=str(sum(pips)),
            kind="integer",
            pictures=(
                Picture(
                    name=f"tiles-{name}-{shown}" if picture != "blank" else "blank",
                    size=lambda: (SIDE, SIDE),
                    load=blank_board if picture == "blank" else partial(_draw, name, shown, view),
                ),
            ),
            difficulty=float(self.difficulty[row]),
            complexity=float(self.complexity[row]),
            level=int(self.level[row]),
            metadata={
                "colour": colour,
                "pips": pips,
                "chain": len(pips),
                "perception": view,
                "solution": self._solution(name, row, pips),
            },
            source=f"tiles {split}",
        )

    def _solution(self, name: str, row: int, pips: list[int]) -> str:
        form = 1 if self._tiles.solutions == "terse" else stable_seed("tiles form", name, row) % 4
        return solution(pips, observe=bool(form & 1), verbose=bool(form & 2))


def _board(name: str, row: int, view: int = USUAL) -> tuple[dict[int, tuple[str, int]], str]:
    """Return the tiles of a row by cell, and the colour asked for."""
    rng = np.random.default_rng(stable_seed("tiles", name, row))
    level = row % LEVELS + 1
    most = DISTRACTORS_BY_VIEW[view]
    most = DISTRACTORS[level - 1] if most is None else min(most, GRID * GRID - level)
    distractors = int(rng.integers(0, most + 1))
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


def _draw(name: str, row: int, view: int) -> Image.Image:
    board, _ = _board(name, row, view)
    return draw_board(board, np.random.default_rng(stable_seed("tiles noise", name, row)), VIEWS[view])
