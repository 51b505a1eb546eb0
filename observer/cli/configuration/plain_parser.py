"""The parser of commands whose options do not belong to classes; its line on unknown options serves all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from observer.refusal import nearest
from observer.types import RefusedError


def near_each(words: Iterable[str], options: Iterable[str]) -> str:
    """Return a line on each unknown option of a command line that is near a known one.

    Args:
        words: of the command line.
        options: those that exist, without dashes.
    """
    known = list(options)
    names = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    found = {name: nearest(name, known) for name in names if name not in known}
    return "".join(f"\n\nNear --{name}: {', '.join(alike)}" for name, alike in found.items() if alike)


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
