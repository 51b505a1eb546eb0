"""The names that a word may have meant, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Return up to three names that a word may have meant, those that it begins first.

    >>> nearest("see", ["seed", "seed_everything", "run_dir"])
    ['seed', 'seed_everything']
    """
    known = list(dict.fromkeys(names))
    begun = [name for name in known if name.startswith(word)] if word else []
    return list(dict.fromkeys([*begun, *difflib.get_close_matches(word, known, n=3)]))[:3]
