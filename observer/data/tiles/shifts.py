"""Boards and questions unlike those of training, in one respect each: what is left of what was learned?

All of them ask in words that the tiny tokenizer has tokens for: a colour that training never names, or a word
that it never holds, would be letters without a meaning, and measure nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageFilter

from observer.data.tiles.draw import COLOURS, GRID

Shift = Literal["none", "grid", "targets", "colours", "shades", "blur", "jpeg", "question"]

QUESTION = "What is the sum of the {colour} tiles?"
REWORDED = "What of the {colour} tiles is the sum?"
OTHER_COLOURS = {"purple": (136, 62, 168), "turquoise": (46, 176, 178), "brown": (126, 82, 44)}
"""Of tiles that are not asked for."""
SHADES = {"red": (226, 96, 104), "green": (30, 104, 44), "blue": (92, 130, 226), "yellow": (190, 158, 20)}
"""Of each colour another one, lighter or darker, still nearest to its own."""
BLUR = 2.0
"""Radius in pixels; a pip has one of 1.7 to 2.5."""
QUALITY = 4
"""Of the JPEG, of 100."""


def _as_it_is(picture: Image.Image) -> Image.Image:
    return picture


def _blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(BLUR))


def _through_jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    file.seek(0)
    return Image.open(file).convert("RGB")


@dataclass(frozen=True)
class Shifted:
    """What is otherwise than in training. Without arguments: nothing."""

    grid: int = GRID
    """Cells of a row of the board, and of a column."""
    targets: int | None = None
    """Tiles to add, whatever the level; None for as many as the level says."""
    colours: dict[str, tuple[int, int, int]] | None = None
    """Of the tiles that are not asked for; None for the usual ones."""
    shades: dict[str, tuple[int, int, int]] | None = None
    """Of the usual colours; None for their own."""
    question: str = QUESTION
    """With a place for the colour."""
    develop: Callable[[Image.Image], Image.Image] = _as_it_is
    """What becomes of a picture after it was drawn."""

    @property
    def palette(self) -> dict[str, tuple[int, int, int]]:
        """The colours that boards are drawn in, by name."""
        return {**COLOURS, **(self.shades or {}), **(self.colours or {})}


SHIFTS: dict[str, Shifted] = {
    "none": Shifted(),
    "grid": Shifted(grid=4),
    "targets": Shifted(targets=GRID * GRID),
    "colours": Shifted(colours=OTHER_COLOURS),
    "shades": Shifted(shades=SHADES),
    "blur": Shifted(develop=_blurred),
    "jpeg": Shifted(develop=_through_jpeg),
    "question": Shifted(question=REWORDED),
}
"""By the name of the option."""
