"""What Pillow raises on is refused, in every format; what it accepts has Pillow's pixels."""

import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from observer.data.images import FORMATS, PictureLimits, open_picture, picture_size
from observer.types import RefusedError

LIMITS = PictureLimits()
TURNED = Image.Exif()
TURNED[0x0112] = 6
KINDS = {
    "png": {"format": "PNG"},
    "apng": {"format": "PNG", "save_all": True, "append_images": [Image.new("RGB", (24, 18), "blue")]},
    "jpeg": {"format": "JPEG"},
    "progressive jpeg": {"format": "JPEG", "progressive": True},
    "webp": {"format": "WEBP"},
    "lossless webp": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
}
CASES = [
    pytest.param(kind, exif, id=kind if exif is None else f"{kind} with exif")
    for kind in KINDS
    for exif in (None, TURNED)
    if exif is None or kind not in ("gif", "bmp")
]


def chart():
    """A picture with noise above and an even area below, 24 x 18."""
    noise = np.random.default_rng(0).integers(0, 256, (18, 24, 3), np.uint8)
    noise[9:] = 230
    return Image.fromarray(noise)


def written(kind, exif=None):
    out = io.BytesIO()
    chart().save(out, **KINDS[kind], **({} if exif is None else {"exif": exif}))
    return out.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_late(png, kind, body):
    """Put a chunk after the pixels of a PNG."""
    end = png.index(b"IEND") - 4
    return png[:end] + chunk(kind, body) + png[end:]


def damages(content, count=40):
    """The file itself, then cuts, flipped bits and lost bytes at places all over it."""
    dice = random.Random(0)
    yield content
    for number in range(count):
        place = number * len(content) // count
        yield content[:place]
        flipped = bytearray(content)
        flipped[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        yield bytes(flipped)
        yield content[:place] + content[place + 3 :]


def by_pillow(path):
    """The picture as Pillow alone reads it, or nothing where it raises."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            image.load()
            with suppress(Exception):  # broken metadata
                image = ImageOps.exif_transpose(image)
            return image.convert("RGB")
    except Exception:
        return None


def by_us(path):
    try:
        return open_picture(path, LIMITS)
    except RefusedError:
        return None


@pytest.mark.parametrize("truncated", [False, True], ids=["strict", "other libraries set Pillow lenient"])
@pytest.mark.parametrize(("kind", "exif"), CASES)
def test_a_damaged_picture_is_refused_where_pillow_raises_and_else_has_pillows_pixels(
    tmp_path, monkeypatch, kind, exif, truncated
):
    path, refused = tmp_path / "a", 0
    for number, content in enumerate(damages(written(kind, exif))):
        path.write_bytes(content)
        expected = by_pillow(path)
        with monkeypatch.context() as lenient:
            lenient.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
            found = by_us(path)
        assert (found is None) == (expected is None), f"damage {number}"
        if found is not None:
            assert (found.size, found.tobytes()) == (expected.size, expected.tobytes()), f"damage {number}"
        refused += found is None
    assert 40 < refused < 121


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"eXIf", TURNED.tobytes()[6:]),
        (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
    ],
    ids=["exif", "xmp"],
)
def test_an_orientation_after_the_pixels_counts_for_header_and_picture_alike(tmp_path, kind, body):
    path = tmp_path / "a.png"
    path.write_bytes(with_late(written("png"), kind, body))
    assert picture_size(path, LIMITS) == (24, 18)
    assert open_picture(path, LIMITS).tobytes() == chart().transpose(Image.Transpose.ROTATE_270).tobytes()


def test_a_chunk_after_the_pixels_that_pillow_cannot_read_is_refused(tmp_path):
    path = tmp_path / "a.png"
    whole = with_late(written("png"), b"eXIf", TURNED.tobytes()[6:])
    path.write_bytes(whole[: whole.index(b"eXIf") + 10])
    for use in (picture_size, open_picture):
        with pytest.raises(RefusedError, match="is broken, cut off"):
            use(path, LIMITS)


@pytest.mark.parametrize(("kind", "exif"), CASES)
def test_a_check_of_the_header_decodes_nothing(tmp_path, monkeypatch, kind, exif):
    path, decoded = tmp_path / "a", []
    path.write_bytes(written(kind, exif))
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(Image, "_getdecoder", lambda *_: decoded.append("decoder"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append("load") or load(image))
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", lambda _: decoded.append("webp"))
    picture_size(path, LIMITS)
    assert decoded == []


def test_a_check_of_the_header_reads_little_of_a_large_png(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    path, read = tmp_path / "a.png", []
    Image.fromarray(pixels).save(path)

    class Counted(io.FileIO):
        def read(self, size=-1):
            read.append(len(content := super().read(size)))
            return content

    monkeypatch.setattr("builtins.open", lambda file, *_, **__: Counted(file))
    assert picture_size(path, LIMITS) == (600, 800)
    monkeypatch.undo()
    assert path.stat().st_size > 1_000_000
    assert sum(read) < 1_000


def test_what_other_libraries_set_in_pillow_is_theirs_again_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    whole, cut = tmp_path / "whole.png", tmp_path / "cut.png"
    whole.write_bytes(written("png"))
    cut.write_bytes(written("png")[:-60])
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(by_us, [whole, cut] * 50))
    assert [picture is None for picture in found] == [False, True] * 50
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS) == (True, 100)
