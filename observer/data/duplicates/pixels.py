"""Do two pictures show the same? One may be a resized or recompressed copy of the other.

Both are brought to the smaller size, in brightness and colour, and blurred by a pixel; what counts is the
largest difference anywhere. A mean would not do: a pip is 9 of 7,056 pixels of a board, and compression
touches them all.

Why the blur separates. A codec changes each frequency of a block by at most half its step of quantisation:
little at low frequencies (at JPEG quality 50 two levels of brightness), much at high ones, which the blur
takes out. A mark that was added adds its whole ink: a pip of 1.7 pixels' radius at 150 levels of contrast
still stands 40 levels high. Measured on 80 boards and drawings: copies (half to twice the size, three
filters, JPEG 50 and better, WebP) differ by 22.5 at most, by 24 where JPEG was applied twice; boards one pip
apart and drawings one digit apart by 37 and more. Of twins that were shrunk to three quarters the nearest
differ by 25, to half by 14: there only question and gold tell.

What it cannot see: marks smaller than two pixels in the smaller of the two pictures; turned, cropped or
recoloured copies are other pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

BLUR, COLOUR_BLUR = 1.0, 2.0
"""Standard deviation of the blur in pixels of the smaller picture; codecs keep colour at half the size."""
LARGEST_DIFFERENCE, LARGEST_COLOUR_DIFFERENCE = 25.0, 45.0
"""Levels of 255 by which copies may differ at one place."""
LEAST_SCALE = 0.25
"""The smallest a copy may be, by its longer side."""


def same_picture(first: Image.Image, second: Image.Image) -> bool:
    """Return whether one RGB picture is the other, or a resized or recompressed copy of it."""
    if first.size == second.size and first.tobytes() == second.tobytes():
        return True
    if not same_shape(first.size, second.size):
        return False
    brightness, colour = largest_differences(first, second)
    return brightness <= LARGEST_DIFFERENCE and colour <= LARGEST_COLOUR_DIFFERENCE


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether one size is the other one scaled, sides rounded to pixels.

    >>> same_shape((84, 84), (63, 63)), same_shape((101, 50), (51, 25)), same_shape((84, 84), (84, 80))
    (True, True, False)
    """
    small, large = sorted((first, second))
    scale = max(small) / max(large)
    if scale < LEAST_SCALE:
        return False
    # A side that is rounded is wrong by half a pixel: w h' = w' h, but for (w + h) / 2; a whole one is given.
    return abs(small[0] * large[1] - small[1] * large[0]) <= sum(large) if scale < 1 else small == large


def largest_differences(first: Image.Image, second: Image.Image) -> tuple[float, float]:
    """Return the largest differences in brightness and in colour, levels of 255, at the smaller size."""
    size = (min(first.width, second.width), min(first.height, second.height))
    difference = _levels(first, size) - _levels(second, size)
    brightness = gaussian_filter(difference[..., 0], BLUR)
    colour = gaussian_filter(difference[..., 1:], (COLOUR_BLUR, COLOUR_BLUR, 0))
    return float(np.abs(brightness).max()), float(np.abs(colour).max())


def _levels(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(picture.convert("YCbCr"), np.float32)
