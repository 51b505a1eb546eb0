"""Opens the pictures that rows name, safely: local files below one folder, of few formats and a bounded size.

It does not resize: the processor decides how many pixels a model sees.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from observer.data.checks.picture_cache import folder as kept_folder
from observer.data.checks.picture_cache import kept_path
from observer.refusal import printable, shown
from observer.types import Picture, RefusedError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats that are opened; of an animation the first frame counts."""
LARGEST_PIXELS = 178_956_970
"""Pixels above which Pillow itself refuses a picture."""
LARGEST_ASPECT_RATIO = 200
"""Longer side over shorter side; Qwen's image processors raise above it."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks that may hold an orientation."""
CRC_BYTES = 4

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_LOCAL_URL = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the turn that puts the picture upright; from 5 on it swaps height and width."""


@dataclass(frozen=True)
class PictureLimits:
    """The most pixels of a picture.

    Args:
        max_pixels: height times width that a header may claim, 1 .. 178,956,970 (Pillow's own limit).
    """

    max_pixels: int = 89_478_485

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= LARGEST_PIXELS:
            raise RefusedError(f"max_image_pixels is {self.max_pixels}; set it within 1 .. {LARGEST_PIXELS}")


def resolve_picture(name: str, root: str | Path) -> Path:
    """Return the file that a picture's name means, links followed.

    Args:
        name: a path relative to ``root``, an absolute path, a ``file://`` URL, or the name of a picture that
            was kept (``checks.picture_cache``).
        root: the data folder; the file has to lie in it after all links are followed.

    Raises:
        RefusedError: the name is another URL, leads out of the folder, or is no file.
    """
    if _URL.match(name) and not _LOCAL_URL.match(name):
        raise RefusedError(
            f"picture {shown(name)} is a URL; only local files are opened: download it into the data folder"
        )
    try:
        folder = os.path.realpath(kept_folder() if kept_path(name) else root)
        files = [os.path.realpath(os.path.join(folder, reading)) for reading in readings(name)]
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"picture {shown(name)} is no path that can be looked up: {printable(error)}"
        ) from error
    file = next((file for file in files if os.path.isfile(file)), files[0])
    if not Path(file).is_relative_to(folder):
        raise RefusedError(
            f"picture {shown(name)} leads to {printable(file)}, out of the data folder {folder}; "
            "move it there or set `images` to a folder that holds all pictures"
        )
    if not os.path.isfile(file):
        raise RefusedError(f"picture {shown(name)} is no file; looked for {printable(file)}")
    return Path(file)


def readings(name: str) -> list[str]:
    """Return the paths that a picture's name may mean, the likelier one first."""
    if (kept := kept_path(name)) is not None:
        return [str(kept)]
    local = _LOCAL_URL.match(name)
    if local is None:
        return [name]
    # Data made for the original release does not percent-encode its file URLs: the plain reading comes first.
    return [name[local.end() :], unquote(name[local.end() :])]


def picture_size(path: str | Path, limits: PictureLimits) -> tuple[int, int]:
    """Return (height, width) in pixels of the upright picture; nothing is decoded.

    Raises:
        RefusedError: the file is no picture of an allowed format and size.
    """
    with _opened(path, limits) as image:
        if isinstance(image, PngImagePlugin.PngImageFile):
            _read_chunks_after_pixels(image)
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def open_picture(path: str | Path, limits: PictureLimits) -> Image.Image:
    """Decode a picture: RGB, upright after its EXIF orientation, transparency on white, first frame.

    Raises:
        RefusedError: the file is no picture of an allowed format and size, or is broken or cut off.
    """
    with _opened(path, limits) as image:
        # First: an error of decoding that is raised later could be caught with those of broken metadata.
        image.load()
        turn = _TURNS.get(_orientation(image))
        picture = _rgb(image)
    return picture if turn is None else picture.transpose(turn)


def picture_hash(content: bytes) -> bytes:
    """Return 8 bytes that tell the content of a picture's file from another."""
    return blake2b(content, digest_size=8).digest()


def picture_mark(name: str, root: str | Path, whole: bool) -> str:
    """Return what tells a picture's file from one that replaces it.

    Args:
        name: as its row writes it; see ``resolve_picture``.
        root: the data folder it has to lie in.
        whole: read the file and mark its content; else its size and time.

    Raises:
        RefusedError: it is no file in the data folder, or cannot be read.
    """
    return _mark_of(resolve_picture(name, root), whole)


def _mark_of(path: Path, whole: bool) -> str:
    try:
        if whole:
            return picture_hash(path.read_bytes()).hex()
        found = path.stat()
        return f"{found.st_size} bytes of {found.st_mtime_ns}"
    except OSError as error:
        raise RefusedError(f"picture {printable(path)} cannot be read ({error.strerror})") from error


def file_picture(
    name: str, root: str | Path, limits: PictureLimits | None = None, mark: str | None = None
) -> Picture:
    """Return a picture that is looked up, checked and opened each time it is used, and not before.

    Args:
        name: as its row writes it; see ``resolve_picture``.
        root: the data folder it has to lie in.
        limits: what it may be.
        mark: of the file that was checked: another one is not opened. None for any file.
    """
    limits = limits or PictureLimits()
    return Picture(
        name=name, size=partial(_size_of, name, root, limits), load=partial(_load, name, root, limits, mark)
    )


def _size_of(name: str, root: str | Path, limits: PictureLimits) -> tuple[int, int]:
    return picture_size(resolve_picture(name, root), limits)


def _load(name: str, root: str | Path, limits: PictureLimits, mark: str | None) -> Image.Image:
    path = resolve_picture(name, root)
    why = f"{printable(path)} is another file"
    replaced = mark is not None and _mark_of(path, whole=" " not in mark) != mark
    try:
        picture = open_picture(path, limits)
    except RefusedError as error:
        if not replaced:
            raise
        why = str(error)
    if replaced:
        raise RefusedError(f"picture {shown(name)} was replaced after it was checked: {why}")
    return picture


@contextmanager
def _opened(path: str | Path, limits: PictureLimits) -> Iterator[Image.Image]:
    """Open a picture, its header read and checked, its pixels not decoded."""
    try:
        # As an open file: Pillow maps some formats by name, and a file that shrinks would end the process.
        with _STRICT, open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            _check_size(image.size, limits)
            yield image
    except RefusedError as error:
        raise RefusedError(f"picture {printable(path)} {error}") from None
    except Image.DecompressionBombError as error:
        raise RefusedError(
            f"picture {printable(path)} claims more than max_image_pixels = {limits.max_pixels}; shrink it "
            f"({printable(error)})"
        ) from error
    # Pillow's decoders raise nearly anything on broken input (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise RefusedError(
            f"picture {printable(path)} is broken, cut off or none of {', '.join(FORMATS)}; "
            f"replace it ({type(error).__name__}: {printable(error)})"
        ) from error


def _check_size(size: tuple[int, int], limits: PictureLimits) -> None:
    width, height = size
    if height * width > limits.max_pixels:
        raise RefusedError(
            f"claims {height} x {width} pixels, more than max_image_pixels = {limits.max_pixels}; "
            "shrink it or raise the limit"
        )
    if max(size) > LARGEST_ASPECT_RATIO * min(size):
        raise RefusedError(
            f"is {height} x {width} pixels, a side over {LARGEST_ASPECT_RATIO} times the other; crop it"
        )


def _read_chunks_after_pixels(image: PngImagePlugin.PngImageFile) -> None:
    """Read the metadata that a PNG holds after its pixels, as decoding it would; the pixels are skipped.

    Tools that add an orientation to a PNG put it there.
    """
    file = image.fp
    assert file is not None
    stream = PngImagePlugin.PngStream(file)
    stream.im_info = image.info
    after = False
    file.seek(len(PNG_SIGNATURE))
    while True:
        try:
            kind, start, length = stream.read()
        except (struct.error, SyntaxError):
            return  # the decoder does not miss the end of the file either
        if kind == b"IEND" or (after and kind == b"fcTL" and image.is_animated):
            return
        if kind in (b"IDAT", b"fdAT"):
            after = True
        elif after and kind in PNG_METADATA:
            try:
                stream.call(kind, start, length)
            except UnicodeDecodeError:
                return
        file.seek(start + length + CRC_BYTES)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 .. 8; 1 (upright) where there is none that can be read.

    It decodes nothing: no error of decoding can be taken for one of broken metadata.
    """
    try:
        # Not image.getexif(): that of a PNG decodes the picture.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        return value if value in _TURNS else 1
    except Exception:  # Pillow's parser of metadata raises nearly anything, too
        return 1  # as every viewer does with broken metadata


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's convert would clip to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


class _Strict:
    """Keeps Pillow from being lenient and from warning while any thread is inside.

    ``LOAD_TRUNCATED_IMAGES``, which other libraries set, makes a picture of what is left of a file, and
    ``MAX_IMAGE_PIXELS`` has a limit here that nobody else may change. Pillow warns of broken metadata and of
    sizes that are refused here anyway. All three are settings of the whole process, so overlapping threads
    would restore them in the wrong order: only the first one in changes them and only the last one out
    restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught: warnings.catch_warnings | None = None
        self._before: tuple[bool, int | None] = (False, None)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            Image.MAX_IMAGE_PIXELS = LARGEST_PIXELS // 2  # Pillow raises above twice as many
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._caught is not None:
                self._caught.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._before


_STRICT = _Strict()
