"""The rows of the tiles ladder: "What is the sum of the red tiles?" over a drawn board, at eight levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from observer.data.rows import RowFormat, Rows
from observer.data.tiles.draw import CELL, COLOURS, USUAL, VIEWS, blank_board, draw_board
from observer.data.tiles.shifts import SHIFTS, Shift, Shifted
from observer.data.tiles.solutions import Solutions, solution, varied_solution
from observer.refusal import refuse_unknown, refuse_unless
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
        solutions: ``plain``, one form; or ``varied``, one of four forms for each row, with and without a
            list of what is seen, terse and verbose. A cold start on these has responses that differ in
            format and length under one prompt, so that rewards for either have something to choose from.
        levels: which of the eight, in ascending order; null for all. Row r is of the (r % K)th of these K,
            and it is the row that the whole ladder has there.
        difficulty: share of wrong answers of the model that training starts from, in [0, 1], of all eight
            levels; null for those of the shipped checkpoint.
        shift: rows for evaluation that are unlike those of training in one respect, by ``none``, ``grid`` (4
            x 4 cells), ``targets`` (9 tiles to add: level 9), ``colours`` (one tile or more of colours that
            training never shows, not asked for), ``shades`` (another shade of each colour), ``blur``,
            ``jpeg`` (of low quality) or ``question`` (the same words in another order). Other than ``grid``,
            ``targets`` and ``colours`` they show and ask what the row without it does.
    """

    rows: int = 65536
    split: Split = "train"
    picture: Shown = "right"
    axes: Axes = "chain"
    solutions: Solutions = "plain"
    levels: tuple[int, ...] | None = None
    difficulty: tuple[float, ...] | None = None
    shift: Shift = "none"

    def __post_init__(self) -> None:
        if self.rows < LEVELS:
            raise RefusedError(f"Tiles.rows is {self.rows}; it must be at least {LEVELS}, one row a level")
        refuse_unknown(self, "split", Split)
        refuse_unknown(self, "picture", Shown)
        refuse_unknown(self, "axes", Axes)
        refuse_unknown(self, "solutions", Solutions)
        refuse_unknown(self, "shift", Shift)
        levels, difficulty = self.levels, self.difficulty
        chosen = tuple(level for level in range(1, LEVELS + 1) if level in (levels or ()))
        refuse_unless(
            levels is None or (levels == chosen != ()),
            self,
            "levels",
            f"write levels from 1 to {LEVELS}, ascending, or null for all",
        )
        shares = difficulty is None or (len(difficulty) == LEVELS and all(0 <= d <= 1 for d in difficulty))
        refuse_unless(shares, self, "difficulty", f"write {LEVELS} shares in [0, 1], or null")
        usual = self.axes == "chain"
        refuse_unless(usual or self.shift == "none", self, "shift", "axes chain_and_perception has none")
        refuse_unless(usual or difficulty is None, self, "difficulty", "set axes to chain, or this to null")

    @property
    def shifted(self) -> Shifted:
        """What is otherwise than in training."""
        return SHIFTS[self.shift]

    def read(self) -> Rows:
        """Return the rows; see ``RowFormat``."""
        return _TilesRows(self)


class _TilesRows(Rows):
    def __init__(self, tiles: Tiles) -> None:
        chosen_K = np.asarray(tiles.levels or range(1, LEVELS + 1))
        rounds_R, places_R = np.divmod(np.arange(tiles.rows, dtype=np.int64), len(chosen_K))
        levels_R = chosen_K[places_R] - 1
        self._whole_R = rounds_R * LEVELS + levels_R  # rows of the ladder with all levels
        views_R, views = np.full(tiles.rows, USUAL), 1
        if tiles.axes == "chain_and_perception":
            views_R, views = rounds_R % len(VIEWS), len(VIEWS)
        table = np.asarray(
            DIFFICULTY_BY_VIEW if tiles.difficulty is None else [tiles.difficulty] * len(VIEWS)
        )
        self.difficulty = table.astype(np.float32)[views_R, levels_R]
        self.complexity = np.asarray(COMPLEXITY, np.float32)[levels_R]
        self.level = levels_R + 1
        if tiles.shifted.targets is not None:
            self.level = np.full_like(levels_R, tiles.shifted.targets)
        self.sources = ("tiles",)
        self._tiles, self._views_R = tiles, views_R
        self._period, self._whole_period = len(chosen_K) * views, LEVELS * views

    def __len__(self) -> int:
        return self._tiles.rows

    def checked_rows(self) -> Iterable[int]:
        return range(min(len(self), self._period))

    def fingerprints(self) -> np.ndarray:
        """Return mixed bits of the row's number and of the options that say what it shows."""
        tiles = self._tiles
        # Neither default is in the seed, so that rows of earlier versions have the bits they had.
        others = [each for each in (tiles.solutions, tiles.shift) if each not in ("plain", "none")]
        options = stable_seed("tiles", tiles.split, tiles.axes, tiles.picture, *others)
        bits_R = self._whole_R.astype(np.uint64) ^ np.uint64(options % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits_R = (bits_R ^ bits_R >> np.uint64(shift)) * np.uint64(factor)  # wraps around
        mixed_R: np.ndarray = bits_R ^ bits_R >> np.uint64(31)
        return mixed_R

    def __getitem__(self, row: int) -> Problem:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        split, shifted, view = self._tiles.split, self._tiles.shifted, int(self._views_R[row])
        name = split if self._tiles.axes == "chain" else f"{split}-seen"
        whole = int(self._whole_R[row])
        board, colour = _board(name, whole, view, shifted)
        pips = [value for _, (tint, value) in sorted(board.items()) if tint == colour]
        return Problem(
            id=f"tiles-{name}-{whole}",
            row=row,
            turns=(Turn("user", f"<image>{shifted.question.format(colour=colour)}"),),
            answer=str(sum(pips)),
            kind="integer",
            pictures=(self._picture(name, whole, view),),
            difficulty=float(self.difficulty[row]),
            complexity=float(self.complexity[row]),
            level=int(self.level[row]),
            metadata={
                "colour": colour,
                "pips": pips,
                "chain": len(pips),
                "perception": view,
                "solution": solution(pips)
                if self._tiles.solutions == "plain"
                else varied_solution(pips, name, whole),
            },
            source=f"tiles {split}",
        )

    def _picture(self, name: str, whole: int, view: int) -> Picture:
        """Return what is shown with a row of the whole ladder."""
        shift, shifted = self._tiles.shift, self._tiles.shifted
        side = CELL * shifted.grid
        if self._tiles.picture == "blank":
            return Picture("blank", size=lambda: (side, side), load=partial(blank_board, shifted.grid))
        # Of the same level and view, also beyond the last row.
        shown = whole + self._whole_period if self._tiles.picture == "wrong" else whole
        return Picture(
            name=f"tiles-{name}-{shown}" + ("" if shift == "none" else f"-{shift}"),
            size=lambda: (side, side),
            load=partial(_draw, name, shown, view, shifted),
        )


def _board(
    name: str, row: int, view: int = USUAL, shifted: Shifted = SHIFTS["none"]
) -> tuple[dict[int, tuple[str, int]], str]:
    """Return the tiles of a row by cell, and the colour asked for."""
    rng = np.random.default_rng(stable_seed("tiles", name, row))
    targets = shifted.targets or row % LEVELS + 1
    room = shifted.grid**2 - targets
    by_level = DISTRACTORS_BY_VIEW[view]
    most = DISTRACTORS[row % LEVELS] if by_level is None else by_level
    least = 0 if shifted.colours is None else 1
    distractors = int(rng.integers(min(least, room), min(max(most, least), room) + 1))
    cells = rng.permutation(shifted.grid**2)[: targets + distractors].tolist()
    colours = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))]
    others = colours[1:] if shifted.colours is None else list(shifted.colours)
    tiles = {
        cell: (
            colours[0] if place < targets else others[int(rng.integers(len(others)))],
            int(rng.integers(1, 7)),
        )
        for place, cell in enumerate(cells)
    }
    return tiles, colours[0]


def _draw(name: str, row: int, view: int, shifted: Shifted) -> Image.Image:
    board, _ = _board(name, row, view, shifted)
    rng = np.random.default_rng(stable_seed("tiles noise", name, row))
    return shifted.develop(draw_board(board, rng, VIEWS[view], shifted.grid, shifted.palette))
