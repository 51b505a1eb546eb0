"""The pictures of the page: each once, as they were kept or shrunk until they fit."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from observer.pages.pictures import encoded

SIDES = (320, 224, 160, 112)
"""Pixels of the longer side that pictures are shrunk to, one after the other, where they do not fit."""
SAMPLE = 24
"""Pictures by which the size of all is foreseen."""


@dataclass
class PagePictures:
    """Pictures as they are put into a page."""

    urls: list[str] = field(default_factory=list)
    """``data:`` URLs, each of a file."""
    places: dict[str, int] = field(default_factory=dict)
    """Name of a file -> its place in ``urls``."""
    faults: dict[str, str] = field(default_factory=dict)
    """Name of a file that is not in the page -> why."""
    side: int | None = None
    """Pixels that larger ones were shrunk to; None where none was."""
    left_out: int = 0
    """Pictures for which there was no room."""


def page_pictures(run_dir: Path, names: Iterable[str], room: int) -> PagePictures:
    """Return pictures of a run, small enough to fit.

    Args:
        run_dir: the directory of the run.
        names: of the files, relative to it; in the order in which there is room for them.
        room: bytes for all of them.
    """
    files = {name: run_dir / name for name in dict.fromkeys(names)}
    there = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
    found = PagePictures(faults={name: f"{name} is not there" for name in files.keys() - there.keys()})
    if sum(map(_of_url, there.values())) > room:
        found.side = _fitting_side([files[name] for name in there], room)
    for name in files:
        if name in found.faults:
            continue
        if (url := _url(files[name], found.side)) is None:
            found.faults[name] = f"{name} cannot be read"
        elif len(url) > room:
            found.faults[name] = "left out: the page is at its limit"
            found.left_out += 1
        else:
            room -= len(url) + 3  # quotes and a comma
            found.places[name] = len(found.urls)
            found.urls.append(url)
    return found


def _fitting_side(files: list[Path], room: int) -> int:
    """Return the largest side at which all fit, by a sample; the smallest if they never do."""
    sample = files[:: max(1, len(files) // SAMPLE)]
    for side in SIDES:
        urls = [url for file in sample if (url := _url(file, side)) is not None]
        if sum(map(len, urls)) * len(files) <= 0.95 * room * len(sample):
            return side
    return SIDES[-1]


def _of_url(size: int) -> int:
    return 4 * size // 3 + 40


def _url(file: Path, side: int | None) -> str | None:
    """Return a picture as a URL, shrunk where a side is given; None where it is none."""
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            kind, content = f"{image.format}".lower(), file.read_bytes()
            if side is not None and max(image.size) > side:
                kind, content = encoded(image.convert("RGB"), side)
            else:
                image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
