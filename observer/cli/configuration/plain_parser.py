"""Parsers of options that do not belong to classes, and what near an unknown option is known."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from observer.types import RefusedError


def near(word: str, options: Iterable[str]) -> str:
    """Return the options that a word may have meant, those that it begins first; empty if there are none.

    Args:
        word: an unknown option, without dashes.
        options: those that exist, without dashes.

    >>> near("see", ["seed", "seed_everything", "run_dir"])
    'seed, seed_everything'
    """
    known = list(dict.fromkeys(options))
    begun = [option for option in known if option.startswith(word)] if word else []
    alike = difflib.get_close_matches(word, known, n=3)
    return ", ".join(list(dict.fromkeys([*begun, *alike]))[:3])


def near_each(words: Iterable[str], options: Iterable[str]) -> str:
    """Return a line on each unknown option of a command line that is near a known one."""
    known = list(options)
    names = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    return "".join(
        f"\n\nNear --{name}: {found}" for name in names if name not in known and (found := near(name, known))
    )


class PlainParser(argparse.ArgumentParser):
    """A parser whose options are written in full; an error is a refusal."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what the base class takes by name; an abbreviation is a typo."""
        super().__init__(**{"allow_abbrev": False, **kwargs})
        self._given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the given words, and keep them for messages."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse with the options that are near those that do not exist.

        Raises:
            RefusedError: always.
        """
        options = [text[2:] for action in self._actions for text in action.option_strings if text[:2] == "--"]
        raise RefusedError(
            f"{message}{near_each(self._given, options)}\n\n{self.prog} --help prints every option"
        )
