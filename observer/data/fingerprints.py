"""Eight bytes per row that differ where the row differs: how a resumed run notices other rows.

They cover the id, the chat, the answer with its kind and options, all metadata, and the pictures by name,
size and content. Difficulty, complexity and level are compared by the ladder's own digest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

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
