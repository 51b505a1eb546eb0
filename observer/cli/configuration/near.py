"""The names that a word may have meant, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, names: Iterable[str]) -> str:
    """Return up to three names that a word may have meant, those that it begins first; empty if none is near.

    >>> near("see", ["seed", "seed_everything", "run_dir"])
    'seed, seed_everything'
    """
    known = list(dict.fromkeys(names))
    begun = [name for name in known if name.startswith(word)] if word else []
    return ", ".join(list(dict.fromkeys([*begun, *difflib.get_close_matches(word, known, n=3)]))[:3])


def near_each(words: Iterable[str], options: Iterable[str]) -> str:
    """Return a line on each unknown option of a command line that is near a known one.

    Args:
        words: of the command line.
        options: those that exist, without dashes.
    """
    known = list(options)
    names = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    return "".join(
        f"\n\nNear --{name}: {found}" for name in names if name not in known and (found := near(name, known))
    )
