"""Seeds of random draws: a hash of the run's seed and the place of the draw in the run.

A checkpoint holds no random state: every draw of a run is seeded by its place in the run (seed, step, row
...), so an unbroken and a resumed run draw the same. This file makes seeds; it draws nothing.
"""

from __future__ import annotations

import hashlib
import json


def stable_seed(*parts: int | str) -> int:
    """Return a seed that depends on its parts alone, and not on process, machine or rank.

    Args:
        parts: purpose and place of the draw, such as ``(run seed, "rows", step)``; 1 and "1" are different.

    Returns:
        A number in [0, 2**63).

    >>> stable_seed(0, "rows", 1) == stable_seed(0, "rows", 1)
    True
    >>> stable_seed(1, 23) == stable_seed(12, 3) or stable_seed(1) == stable_seed("1")
    False
    """
    text = json.dumps(parts)  # unambiguous; raises for a type without one spelling, such as a tensor
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
