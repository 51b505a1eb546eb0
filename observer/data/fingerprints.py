"""What tells rows and pictures apart: fingerprints of whole rows, and digests of what a model sees.

A row's fingerprint shows a resumed run that the row is another: eight bytes over the id, the chat, the answer
with its kind and options, all metadata, and the pictures by name, size and content. Difficulty, complexity
and level are compared by the ladder's own digest.

A picture's digest shows that two rows show the same picture, whatever their files are called and however
they are compressed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from PIL import Image

from observer.refusal import still_there
from observer.types import Problem, RefusedError


def fingerprint(problem: Problem) -> int:
    """Return the fingerprint of a problem whose pictures are known by name alone, below 2**64."""
    content = [
        problem.id,
        [(turn.role, turn.text) for turn in problem.turns],
        problem.answer,
        problem.kind,
        problem.options,
        [picture.name for picture in problem.pictures],
        dict(problem.metadata),
    ]
    try:
        text = json.dumps(content, sort_keys=True, default=repr)
    except TypeError:  # keys of several types, which have no order
        text = repr(content)
    return _number(text)


def with_pictures(row: int, pictures: Sequence[str]) -> int:
    """Return a row's fingerprint with what is known of its pictures beside their names.

    Args:
        row: its fingerprint so far.
        pictures: for each in order, a digest of its content, or its size where it was not read.
    """
    return _number("\0".join([str(row), *pictures])) if pictures else row


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def with_sizes(problem: Problem) -> int:
    """Return the fingerprint of a problem of unknown origin: its pictures by name and size."""
    sizes = []
    for picture in problem.pictures:
        try:
            sizes.append(str(picture.size()))
        except RefusedError:  # admission has not looked at this row
            sizes.append("")
    return with_pictures(fingerprint(problem), sizes)


def digest(fingerprints_R: np.ndarray) -> str:
    """Return a digest of the fingerprints of all rows, in their order."""
    return blake2b(np.ascontiguousarray(fingerprints_R, "<u8").data, digest_size=16).hexdigest()


def picture_digest(picture: Image.Image) -> str:
    """Return a digest of a picture as a model sees it, 32 hex digits: of its pixels in RGB, and its size.

    >>> grey = Image.new("L", (2, 1), 7)
    >>> picture_digest(grey) == picture_digest(grey.convert("RGB")) != picture_digest(grey.resize((1, 2)))
    True
    """
    pixels = picture if picture.mode == "RGB" else picture.convert("RGB")
    found = blake2b(f"{pixels.mode} {pixels.width} x {pixels.height}\n".encode(), digest_size=16)
    found.update(pixels.tobytes())
    return found.hexdigest()


def picture_number(picture: Image.Image) -> int:
    """Return the first eight bytes of a picture's digest, as a number below 2**64."""
    return int(picture_digest(picture)[:16], 16)


def shown_digests(problem: Problem) -> list[int]:
    """Return a number below 2**64 for each picture of a problem, or one for its text if it has none.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    with still_there(problem):
        found = [picture_number(picture.load()) for picture in problem.pictures]
    return found or [text_number([turn.text for turn in problem.turns if turn.role != "system"])]


def text_number(texts: Sequence[str]) -> int:
    """Return a number below 2**64 for what turns ask, whatever blanks are between its words."""
    return _number("\0".join(" ".join(text.split()) for text in texts))


def pictures_digest(problem: Problem) -> str:
    """Return a digest of all pictures of a problem in their order; "" without one.

    That of a single picture is ``picture_digest``. They are decoded one after the other, and none is kept.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    digests = []
    for picture in problem.pictures:
        with still_there(problem):
            digests.append(picture_digest(picture.load()))
    together = "\n".join(digests)
    return together if len(digests) < 2 else blake2b(together.encode(), digest_size=16).hexdigest()
