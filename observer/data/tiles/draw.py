"""Draws one tiles picture: a 3 x 3 board of coloured die tiles. Knows nothing of questions or levels.

A cell is 28 x 28 pixels, exactly a merged visual token of Qwen2.5-VL (patch 14, merge 2), so that a board is
84 x 84 unless it has more cells. Pip masks are drawn once; a picture then costs some tenths of a millisecond.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELL = 28
GRID = 3
SIDE = CELL * GRID
TILE = 22
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (200, 52, 48),
    "green": (52, 150, 70),
    "blue": (52, 88, 196),
    "yellow": (222, 186, 44),
}
BACKGROUND = 232
JITTER = (CELL - TILE) // 2
COLOUR_NOISE = 10.0


class View(NamedTuple):
    """How well a board can be seen."""

    radii: tuple[float, ...]
    """Sizes of the pips, of which each tile takes one: radius in pixels."""
    noise: float
    """Standard deviation of each pixel, of 255."""


VIEWS = (View((2.5,), 3.0), View((1.7, 2.1, 2.5), 6.0), View((1.7,), 14.0), View((1.6,), 22.0))
"""From well to badly seen."""
USUAL = 1
"""The view of boards whose only axis is the number of tiles to add."""

_THIRDS = (0.24, 0.5, 0.76)
_PIPS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((1, 1),),
    2: ((0, 0), (2, 2)),
    3: ((0, 0), (1, 1), (2, 2)),
    4: ((0, 0), (0, 2), (2, 0), (2, 2)),
    5: ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
    6: ((0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2)),
}


@cache
def pip_mask(pips: int, radius: float) -> NDArray[np.float32]:
    """Return the coverage of a tile by its pips, (TILE, TILE, 1), 0 to 1 with soft edges.

    Args:
        pips: 1 to 6.
        radius: of one pip, in pixels.
    """
    y, x = np.mgrid[0:TILE, 0:TILE] + 0.5
    mask = np.zeros((TILE, TILE), np.float32)
    for row, column in _PIPS[pips]:
        distance = np.hypot(y - _THIRDS[row] * TILE, x - _THIRDS[column] * TILE)
        mask = np.maximum(mask, np.clip(radius + 0.5 - distance, 0, 1))
    return mask[:, :, None].astype(np.float32)


def draw_board(
    tiles: dict[int, tuple[str, int]],
    rng: np.random.Generator,
    view: View = VIEWS[USUAL],
    grid: int = GRID,
    palette: dict[str, tuple[int, int, int]] = COLOURS,
) -> Image.Image:
    """Draw a board with jitter, pips of several sizes, colour noise and pixel noise.

    Args:
        tiles: cell (0 to 8, row by row) -> (colour, pips); other cells stay empty.
        rng: where the noise comes from.
        view: how well it can be seen.
        grid: cells of a row, and rows.
        palette: name of a colour -> RGB.

    Returns:
        An RGB picture of ``grid`` x ``grid`` cells.
    """
    side = CELL * grid
    board = np.full((side, side, 3), BACKGROUND, np.float32)
    for cell, (colour, pips) in tiles.items():
        top = cell // grid * CELL + JITTER + int(rng.integers(-JITTER + 1, JITTER))
        left = cell % grid * CELL + JITTER + int(rng.integers(-JITTER + 1, JITTER))
        mask = pip_mask(pips, view.radii[int(rng.integers(len(view.radii)))])
        paint = np.asarray(palette[colour], np.float32) + rng.normal(0, COLOUR_NOISE, 3).astype(np.float32)
        ink = np.float32(rng.uniform(235, 255))
        board[top : top + TILE, left : left + TILE] = paint * (1 - mask) + ink * mask
    board += rng.standard_normal((side, side, 1), np.float32) * np.float32(view.noise)
    return Image.fromarray(np.clip(board, 0, 255).astype(np.uint8))


def blank_board(grid: int = GRID) -> Image.Image:
    """Return an even grey picture: the control that shows what can be answered without looking."""
    return Image.new("RGB", (CELL * grid, CELL * grid), (BACKGROUND,) * 3)
