"""How large a YAML text of options may be: what is nested deep, or multiplies by its aliases, is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from observer.types import RefusedError

MOST_BYTES = 2**20
"""Of a configuration; a saved one has some 6 kB."""
DEEPEST = 50
MOST_VALUES = 20_000
"""Of a configuration once its aliases are written out, as parsers of options copy them one by one."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text_within_limits(file: Path) -> str:
    """Return the text of a YAML file.

    Raises:
        RefusedError: it is too large, or too deep; says nothing of its name.
        OSError, ValueError, yaml.YAMLError: it cannot be read, or is no YAML.
    """
    if (size := file.stat().st_size) > MOST_BYTES:
        raise RefusedError(f"it has {size:,} bytes, a configuration at most {MOST_BYTES:,}")
    text = file.read_text(encoding="utf-8")
    check_limits(text)
    return text


def check_limits(text: str) -> None:
    """Count the values of a YAML text and its depth, without building anything.

    Raises:
        RefusedError: they are too many, or it is too deep.
        yaml.YAMLError: it is no YAML.
    """
    try:
        _count(text, _LOADER)
    except yaml.YAMLError:
        # libyaml has a depth of its own in newer releases, and gives up before it says how deep a text is.
        with suppress(yaml.YAMLError):
            _count(text, yaml.SafeLoader)
        raise


def _count(text: str, loader: Any) -> None:
    count = 0
    begun: list[tuple[str | None, int]] = []  # the anchor of each collection that is open, and its start
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"line {event.start_mark.line + 1}: *{event.anchor} stands for no value")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            sizes[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = begun.pop()
            sizes[anchor or ""] = count - start
        if len(begun) > DEEPEST or count > MOST_VALUES:
            what = f"nested more than {DEEPEST} deep" if len(begun) > DEEPEST else "too long"
            line = event.start_mark.line + 1
            raise RefusedError(
                f"line {line}: it is {what}; a configuration has at most {MOST_VALUES:,} values, its aliases "
                f"written out"
            )
