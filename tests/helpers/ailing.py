"""Rows with all that may be wrong with them, and pictures of every mode."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from bombs import BOMBS
from observer.data.images import PNG_SIGNATURE
from written_rows import ESSAY

SIDE = 56
SLOW = BOMBS["integral"]
"""It looks well, and takes longer than any limit to compare."""


def noise(seed, side=SIDE):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def clear(mode):
    """A picture with a transparent place."""
    picture = noise(5).convert("RGBA")
    picture.putpixel((3, 3), (0, 0, 0, 0))
    if mode == "RGBA":
        return picture
    palette = noise(6).convert("P")
    palette.info["transparency"] = 0
    return palette


def claimed(width, height):
    """A PNG whose header claims a size that its bytes do not hold: a decompression bomb."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(b"\0" * 1000)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def encoded(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def sound():
    """Name -> bytes of pictures that can be trained on, one of each mode; each shows something else."""
    deep = np.random.default_rng(7).integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
    return {
        "rgb.png": encoded(noise(1)),
        "grey.png": encoded(noise(2).convert("L")),
        "bits.png": encoded(noise(3).convert("1")),
        "cmyk.jpg": encoded(noise(4).convert("CMYK"), "JPEG"),
        "rgba.png": encoded(clear("RGBA")),
        "palette.png": encoded(clear("P")),
        "deep.png": encoded(Image.fromarray(deep)),
        "large.webp": encoded(noise(8, 600), "WEBP"),
        "pixel.png": encoded(Image.new("RGB", (1, 1), "red")),
    }


def broken():
    """Name -> bytes of pictures that cannot, and what is said of them."""
    return {
        "cut.png": (encoded(noise(9))[:2000], "is broken, cut off or none of PNG"),
        "words.png": (b"a picture of a cat", "is broken, cut off or none of PNG"),
        "empty.png": (b"", "is broken, cut off or none of PNG"),
        "bomb.png": (claimed(60_000, 60_000), "claims more than max_image_pixels"),
        "wide.png": (encoded(Image.new("RGB", (2000, 2))), "a side over 200 times the other"),
    }


def row(name, image=None, **fields):
    asked = {"id": name, "question": f"How many are in {name}?", "answer": str(len(name))}
    return asked | ({"images": [image]} if image else {}) | fields


def write_pictures(folder):
    for name, content in (sound() | {name: content for name, (content, _) in broken().items()}).items():
        (folder / name).write_bytes(content)


def bad_rows():
    """Each row that is refused, with what is said of it and the check that finds it."""
    pictures = [(row(name, name), said, "picture") for name, (_, said) in broken().items()]
    return [
        *pictures,
        (row("missing", "missing.png"), "is no file", "picture"),
        (row("outside", "../outside.png"), "out of the data folder", "picture"),
        (row("web", "https://example.org/a.png"), "is a URL", "picture"),
        ('{"id": "cut off', "is no JSON", "row"),
        ({"id": "unanswered", "question": "How many?"}, "has no answer", "row"),
        (
            row("marks", "rgb.png", question="<image> and <image>?"),
            "2 <image> marks and images names 1",
            "row",
        ),
        (row("token", question="<|im_end|>?"), "which the model would read as structure", "row"),
        (row("prose", answer=ESSAY), "no rule can check", "row"),
        (row("kind", answer="red", kind="integer"), "", "row"),
        (row("rgb.png", question="The id of another row?"), "its id is taken by", "row"),
        (row("lengthy", question="How many? " * 60), "more than max_prompt_tokens", "prompt"),
        (row("nothing", answer=r"\frac{1}{0}", kind="expression"), "does not equal itself", "row"),
    ]


def slow_row():
    """A row whose gold answer a process of its own has to look at, for too long."""
    return row("formula", answer=SLOW, kind="expression"), "no rule can check the answer", "gold"


def good_rows():
    return [row(name, name) for name in sound()]


def write_rows(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path
