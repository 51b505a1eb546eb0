"""Pictures of problems as pages show them: they fit a square, and one that cannot be read is a text."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from PIL import Image

from observer.pages.marked_text import shorten
from observer.types import Picture, RefusedError

NOTE_BUDGET = 160
"""Characters shown of why a picture cannot be read."""
MOST_COLOURS, MOST_PIXELS = 4096, 128 * 128
"""A small file of a picture with more of both is a JPEG: a photograph. Others keep each pixel."""
LARGEST_SIDE, SMALL_SIDE = 1024, 160
"""Pixels of the longer side of a picture in a page of HTML: shrunk above, enlarged below."""


class Embedded(NamedTuple):
    """A picture in a page of HTML, or why there is none."""

    url: str
    """Its content, a ``data:`` URL; "" where it cannot be read."""
    size: str
    """Its own width and height, also where it was shrunk."""
    small: bool
    """Whether it is enlarged, pixel by pixel."""
    fault: str
    """Why it cannot be read; "" where it can."""


def fitting(picture: Picture, side: int) -> Image.Image | str:
    """Return a picture that fits a square, or why it cannot be read.

    Args:
        picture: its file may be gone since its row was read: no reason to end a run.
        side: of the square, in pixels.
    """
    try:
        return _fitted(picture.load(), side)
    except RefusedError as error:
        return shorten(f"{error}", NOTE_BUDGET)


def embedded(picture: Picture, side: int = LARGEST_SIDE) -> Embedded:
    """Return a picture for a page of HTML, pixel by pixel; one with a longer side than ``side`` is shrunk."""
    try:
        image = picture.load()
    except RefusedError as error:
        return Embedded("", "", False, shorten(f"{error}", NOTE_BUDGET))
    size = f"{image.width} x {image.height}"
    content = {"png": b""}
    if max(image.size) > side:
        image, size = _fitted(image, side), f"{size}, shown smaller"
        content["jpeg"] = _encoded(image.convert("RGB"), "JPEG", quality=88)
    content["png"] = _encoded(image, "PNG")
    kind = min(content, key=lambda name: len(content[name]))
    url = f"data:image/{kind};base64,{base64.b64encode(content[kind]).decode()}"
    return Embedded(url, size, max(image.size) < SMALL_SIDE, "")


def encoded(image: Image.Image, side: int) -> tuple[str, bytes]:
    """Return a picture as a small file: its type, ``png`` or ``jpeg``, and its bytes.

    Args:
        image: in RGB; equal ones give equal bytes.
        side: pixels that its longer side has at most; it is shrunk to it.
    """
    if max(image.size) > side:
        image = _fitted(image, side)
    if image.width * image.height > MOST_PIXELS and image.getcolors(MOST_COLOURS) is None:
        return "jpeg", _encoded(image, "JPEG", quality=85)
    return "png", _encoded(image, "PNG")


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture that fits a square: a tiny one enlarged pixel by pixel, a huge one shrunk."""
    factor = side // max(picture.size)
    if factor > 1:
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if factor == 1:
        return picture
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
