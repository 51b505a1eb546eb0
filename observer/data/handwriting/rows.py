"""The rows of the handwriting ladder: "What is the sum of the digits?" over a board of one to six of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from observer.data.handwriting.digits import CELL, Writers, digits
from observer.data.rows import RowFormat, Rows
from observer.data.tiles.solutions import Solutions, solution, varied_solution
from observer.refusal import refuse_outside, refuse_unknown
from observer.seeding import stable_seed
from observer.types import Picture, Problem, Turn

Split = Literal["start", "train", "val", "test"]
Shown = Literal["right", "blank", "wrong"]

LEVELS = 6
GRID = 3
SIDE = GRID * CELL
SHIFT = 2
"""Pixels that a digit is off the middle of its cell, at most, each way."""
NOISE = 6.0
"""Standard deviation of each pixel, of 255."""
PARTS: dict[Split, tuple[int, int]] = {
    "start": (0, 200),
    "train": (200, 400),
    "val": (400, 500),
    "test": (400, 500),
}
"""Which digits of each class a split shows. ``val`` and ``test`` share digits, and no board."""
QUESTION = "<image>What is the sum of the digits?"


class Digit(NamedTuple):
    """A digit of a board."""

    cell: int
    """0 to 8, row by row."""
    value: int
    """What was written."""
    number: int
    """Which of the digits of its class, in the order of the package's file."""


@dataclass(frozen=True)
class Handwriting(RowFormat):
    """Real handwriting on composed boards: 84 x 84 pixels, one to six digits in cells of a 3 x 3 grid.

    Row r is of level r % 6 + 1, and level k has k digits: a longer chain of thought. How hard a board is to
    read nobody knows beforehand: it is in the writing. The digits of MNIST are in three parts: of each class
    200 for a warm start, 200 for training, 100 held out, so that held-out boards show digits never seen.

    Args:
        rows: how many, at least 6; multiples of 6 give equal levels.
        split: ``start``, ``train``, ``val`` or ``test``.
        writers: ``mnist``, or ``uci``: other writers in another resolution, all of whose digits are used in
            every split.
        picture: ``right``; ``blank`` or ``wrong`` (the board of another row of the same level) are controls
            that measure how much is answered without the picture.
        solutions: ``plain``, one form; or ``varied``, one of four forms for each row, as those of ``Tiles``:
            for a start whose responses differ in format and length.

    Raises:
        RefusedError: when read: the package that holds the digits is not installed.
    """

    rows: int = 65536
    split: Split = "train"
    writers: Writers = "mnist"
    picture: Shown = "right"
    solutions: Solutions = "plain"

    def __post_init__(self) -> None:
        refuse_outside("Handwriting.rows", self.rows, LEVELS, hint=": one row a level")
        refuse_unknown(self, "split", Split)
        refuse_unknown(self, "writers", Writers)
        refuse_unknown(self, "picture", Shown)
        refuse_unknown(self, "solutions", Solutions)

    def read(self) -> Rows:
        """Return the rows; see ``RowFormat``."""
        return _Boards(self)


class _Boards(Rows):
    def __init__(self, options: Handwriting) -> None:
        digits(options.writers)  # refused here where they are not installed
        self.level = np.arange(options.rows, dtype=np.int64) % LEVELS + 1
        # The chain's length is all that is known of a board before a model has tried it.
        self.difficulty = ((self.level - 1) / LEVELS).astype(np.float32)
        self.complexity = (6 * self.level + 7).astype(np.float32)
        self.sources = ("handwriting",)
        self._options = options
        self._name = f"{options.split}-{options.writers}"

    def __len__(self) -> int:
        return self._options.rows

    def checked_rows(self) -> Iterable[int]:
        return range(LEVELS)

    def __getitem__(self, row: int) -> Problem:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        board = self._board(row)
        values = [digit.value for digit in board]
        picture = self._options.picture
        shown = row + LEVELS if picture == "wrong" else row
        name = "blank" if picture == "blank" else f"handwriting-{self._name}-{shown}"
        load = _blank if picture == "blank" else partial(self._draw, shown)
        return Problem(
            id=f"handwriting-{self._name}-{row}",
            row=row,
            turns=(Turn("user", QUESTION),),
            answer=str(sum(values)),
            kind="integer",
            pictures=(Picture(name=name, size=lambda: (SIDE, SIDE), load=load),),
            difficulty=float(self.difficulty[row]),
            complexity=float(self.complexity[row]),
            level=int(self.level[row]),
            metadata={
                "digits": values,
                "numbers": [digit.number for digit in board],
                "solution": solution(values)
                if self._options.solutions == "plain"
                else varied_solution(values, self._name, row),
            },
            source=f"handwriting {self._options.split}",
        )

    def _board(self, row: int) -> list[Digit]:
        """Return the digits of a row, in reading order."""
        rng = np.random.default_rng(stable_seed("handwriting", self._name, row))
        cells = np.sort(rng.permutation(GRID * GRID)[: row % LEVELS + 1])
        classes = digits(self._options.writers)
        part = PARTS[self._options.split] if self._options.writers == "mnist" else None
        board = []
        for cell in cells.tolist():
            value = int(rng.integers(10))
            board.append(Digit(cell, value, int(rng.integers(*part or (0, len(classes[value]))))))
        return board

    def _draw(self, row: int) -> Image.Image:
        rng = np.random.default_rng(stable_seed("handwriting noise", self._name, row))
        classes = digits(self._options.writers)
        ink = np.zeros((SIDE + 2 * SHIFT, SIDE + 2 * SHIFT), np.float32)
        for cell, value, number in self._board(row):
            shifts = rng.integers(0, 2 * SHIFT + 1, 2).tolist()
            top, left = (
                CELL * place + shift for place, shift in zip(divmod(cell, GRID), shifts, strict=True)
            )
            here = ink[top : top + CELL, left : left + CELL]
            np.maximum(here, classes[value][number] * np.float32(rng.uniform(0.8, 1)), out=here)
        paper = 255 - ink[SHIFT:-SHIFT, SHIFT:-SHIFT]
        paper = paper + rng.standard_normal(paper.shape, np.float32) * np.float32(NOISE)
        return Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8)).convert("RGB")


def _blank() -> Image.Image:
    """Return white paper: the control that shows what can be answered without looking."""
    return Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
