"""Rows, copies of them, and twins that are none: boards, drawings, two pictures, text alone."""

import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from observer.data.tiles.draw import COLOURS, VIEWS, draw_board
from observer.types import Picture, Problem, Turn

FONT = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
LIKE = {"1": "7", "2": "3", "3": "8", "4": "9", "5": "6", "6": "9", "7": "1", "8": "3", "9": "6"}
"""Digits that look like others."""


def board(seed, twin=False):
    """A board, in the four views; its twin has one pip more or less. Returns picture, colour and sum."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(9)[: int(rng.integers(1, 9))].tolist()
    tiles = {cell: (list(COLOURS)[int(rng.integers(4))], int(rng.integers(1, 7))) for cell in cells}
    colour, pips = tiles[cells[0]]
    if twin:
        tiles[cells[0]] = (colour, pips + 1 if pips < 6 else 5)
    picture = draw_board(tiles, np.random.default_rng(seed + 10**6), VIEWS[seed % 4])
    return picture, colour, sum(value for tint, value in tiles.values() if tint == colour)


def drawing(seed, twin=False):
    """Lines, letters and numbers on white; in its twin one digit is another. Returns picture and digits."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (360, 280), "white")
    pen = ImageDraw.Draw(picture)
    points = [tuple(int(v) for v in rng.integers((20, 20), (320, 240))) for _ in range(5)]
    width, font = int(rng.integers(1, 4)), _font(int(rng.integers(11, 18)))
    pen.line([value for point in points for value in point], fill="black", width=width)
    for letter, (x, y) in zip("ABCDE", points, strict=True):
        pen.text((x + 4, y - 16), letter, fill="black", font=font)
    digits = [str(value) for value in rng.integers(1, 10, 4)]
    if twin:
        digits[0] = LIKE[digits[0]]
    for digit, (x, y), (u, v) in zip(digits, points, points[1:], strict=False):
        pen.text(((x + u) // 2, (y + v) // 2), digit, fill="blue", font=font)
    return picture, digits


@cache
def _font(size):
    return ImageFont.truetype(FONT, size)


def coded(picture, form, quality):
    file = io.BytesIO()
    picture.save(file, form, quality=quality)
    return Image.open(file).convert("RGB")


def scaled(picture, factor, how=Image.Resampling.BICUBIC):
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), how)


COPIES = {
    "exact": lambda picture: picture,
    "jpeg 50": lambda picture: coded(picture, "JPEG", 50),
    "jpeg 75": lambda picture: coded(picture, "JPEG", 75),
    "jpeg 75, then 60": lambda picture: coded(coded(picture, "JPEG", 75), "JPEG", 60),
    "webp 75": lambda picture: coded(picture, "WEBP", 75),
    "half": lambda picture: scaled(picture, 0.5, Image.Resampling.LANCZOS),
    "three quarters": lambda picture: scaled(picture, 0.75, Image.Resampling.BILINEAR),
    "one and a half": lambda picture: scaled(picture, 1.5),
    "half, jpeg 75": lambda picture: coded(scaled(picture, 0.5), "JPEG", 75),
    "two thirds, jpeg 60": lambda picture: coded(
        scaled(picture, 2 / 3, Image.Resampling.LANCZOS), "JPEG", 60
    ),
    "double, jpeg 90": lambda picture: coded(scaled(picture, 2, Image.Resampling.BILINEAR), "JPEG", 90),
}
"""Ways to copy a picture."""

WORDINGS = {
    "same": lambda text: text,
    "blanks": lambda text: "  " + text.replace(" ", "  ").replace("?", " ?\n"),
    "case": lambda text: text.upper().replace("<IMAGE>", "<image>").replace(r"\FRAC", r"\frac"),
    "latex": lambda text: (
        text.replace("$", r"\)", 2)
        .replace(r"\)", r"\(", 1)
        .replace("+", r"\,+\;")
        .replace(r"\frac", r"\dfrac")
    ),
    "mark": lambda text: text.replace("<image>", "") + "\n<image>" if text.count("<image>") == 1 else text,
}
"""Ways to write the same question."""


def shown(picture, name="a"):
    return Picture(name, lambda: (picture.height, picture.width), lambda: picture)


def made(seed, twin=False):
    """The row of a seed: a board, a drawing, two drawings or text alone; its twin has another answer."""
    sort, rng = seed % 5, np.random.default_rng(seed)
    if sort < 2:
        picture, colour, total = board(seed, twin)
        pictures, text, answer = [picture], f"<image>What is the sum of the {colour} tiles?", total
    elif sort < 4:
        several = [drawing(seed, twin), *([drawing(seed + 5000)] if sort == 3 else [])]
        pictures = [picture for picture, _ in several]
        text = (
            f"{'<image>' * len(several)}In the figure $x + {seed}$ is $\\frac{{1}}{{2}}$ of AB + BC. Find it."
        )
        answer = sum(int(digit) for _, digits in several for digit in digits)
    else:
        one, other = rng.integers(100, 999, 2)
        pictures, answer = [], int(one + other + twin)
        text = f"A shop has ${one} + {other + twin}$ apples and sells $\\frac{{1}}{{3}}$. How many had it?"
    return Problem(
        f"r{seed}",
        seed,
        (Turn("user", text),),
        str(answer),
        "integer",
        tuple(shown(picture, f"{seed}") for picture in pictures),
    )


def reworded(problem, text):
    return replace(problem, turns=(Turn("user", text),))


def copied(problem, number):
    """A copy of a row: another file, another notation."""
    way = list(COPIES.values())[number % len(COPIES)]
    write = list(WORDINGS.values())[number % len(WORDINGS)]
    pictures = tuple(shown(way(picture.load()), f"copy of {picture.name}") for picture in problem.pictures)
    return replace(reworded(problem, write(problem.question)), id=f"c{number}", pictures=pictures)
