"""What is kept of a row to find its copies: 245 bytes, on disk. It needs the extra ``ladder``.

The perceptual hash has 256 bits: with 64 boards that differ in one pip are one board. Rows of several
pictures have one hash, those of their pictures turned and joined bit by bit, so that it differs by no more
bits than they do together.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from observer.data.duplicates.wording import gold_of, pieces, wording
from observer.data.fingerprints import picture_digest
from observer.refusal import printable, still_there
from observer.types import Problem, RefusedError

HASH_SIDE = 16
"""The perceptual hash has so many bits squared."""
MINIMA = 32
"""Numbers of a question's MinHash."""
CELLS = 4
"""A thumbnail has so many cells squared."""
SIGNATURE = np.dtype(
    [
        ("hash", "<u8", HASH_SIDE * HASH_SIDE // 64),  # of the pictures; without one, of the question
        ("thumbnail", "u1", (CELLS, CELLS, 3)),
        ("light", "<f4"),  # mean brightness, 0 .. 255
        ("pictures", "<u4"),
        ("minima", "<u4", MINIMA),  # MinHash of the question
        ("pixels", "<u8"),  # equal for equal pixels
        ("question", "<u8"),  # equal for questions that say the same
        ("gold", "<u8"),
    ]
)
"""One row."""
EXTRA = 'pip install "observer-r1[ladder]"'
_SCHEME = "affine32"


def refuse_without_packages() -> None:
    """Refuse to go on where a package of the extra ``ladder`` is missing.

    Raises:
        RefusedError: says what to install.
    """
    missing = [name for name in ("imagehash", "datasketch") if importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(
            f"near duplicates are found with {' and '.join(missing)}, not installed here: {EXTRA}"
        )


def write_signatures(problems: Iterable[Problem], count: int, path: str | Path) -> NDArray[np.void]:
    """Write the signatures of problems to a file and return it, mapped: no row stays in memory.

    Args:
        problems: in the order of their rows; pictures are decoded one after the other.
        count: of the problems.
        path: of the file, a ``.npy`` of ``SIGNATURE``.

    Raises:
        RefusedError: a package is missing, or the file cannot be written.
        LostInputError: a picture that was checked is gone or another one.
    """
    refuse_without_packages()
    if not count:
        return np.empty(0, SIGNATURE)
    try:
        file = np.lib.format.open_memmap(path, mode="w+", dtype=SIGNATURE, shape=(count,))
    except OSError as error:
        raise RefusedError(f"{printable(path)} cannot be written ({error.strerror})") from error
    for row, problem in enumerate(problems):
        file[row] = sign(problem)
    file.flush()
    return file


def sign(problem: Problem) -> np.void:
    """Return the signature of a problem, a scalar of ``SIGNATURE``; see ``write_signatures``."""
    made = np.zeros((), SIGNATURE)
    asked = wording(problem)
    made["minima"] = _minima(asked)
    made["question"], made["gold"] = _number(asked), _number(gold_of(problem))
    digests, thumbnails, lights = [], [], []
    joined = np.zeros(HASH_SIDE * HASH_SIDE // 64, np.uint64)
    for place, picture in enumerate(problem.pictures):
        with still_there(problem):
            image = picture.load()
        joined ^= np.roll(_perceptual(image), place)
        digests.append(picture_digest(image))
        thumbnails.append(np.asarray(image.resize((CELLS, CELLS), Image.Resampling.BOX), np.float32))
        lights.append(float(thumbnails[-1].mean()))
    if not problem.pictures:  # rows without a picture are told apart by their questions
        joined = (made["minima"] & 0xFF).astype(np.uint8).view("<u8")
    else:
        made["thumbnail"] = np.rint(np.mean(thumbnails, 0))
        made["light"] = np.mean(lights)
    made["hash"] = joined
    made["pictures"] = len(problem.pictures)
    made["pixels"] = _number("\n".join(digests))
    return cast(np.void, made[()])


def _perceptual(picture: Image.Image) -> NDArray[np.uint64]:
    import imagehash

    return np.packbits(imagehash.phash(picture, hash_size=HASH_SIDE).hash).view("<u8")


def _minima(text: str) -> NDArray[np.uint32]:
    from datasketch import MinHash

    made = MinHash(num_perm=MINIMA, seed=1, scheme=_SCHEME)
    made.update_batch([piece.encode(errors="surrogatepass") for piece in sorted(pieces(text))])
    return np.asarray(made.hashvalues, np.uint32)


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
