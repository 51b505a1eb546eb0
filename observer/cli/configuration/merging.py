"""Merges options as the parser merges files and the command line: what is written last counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from observer.cli.configuration.interpolation import with_values

Keys = tuple[Any, ...]
"""Keys that lead to an option."""
CLASS = ("class_path", "init_args", "dict_kwargs")
"""Keys of a value that is a class with its options."""


def merge(
    into: dict[str, Any], new: Mapping[Any, Any], replaced: Sequence[str] = (), at: Keys = ()
) -> dict[str, Any]:
    """Merge options into earlier ones, as the parser does, and return them.

    Args:
        into: the earlier options; changed.
        new: the later ones.
        replaced: options whose mapping is replaced as a whole.
        at: the keys that lead to ``into``.
    """
    for key, value in new.items():
        put(into, (key,), value, replaced, at)
    return into


def put(into: dict[str, Any], keys: Keys, value: Any, replaced: Sequence[str] = (), at: Keys = ()) -> None:
    """Set one option, as the parser does: options of a class go to its ``init_args``.

    Args:
        into: options; changed.
        keys: that lead to the option.
        value: of the option.
        replaced: options whose mapping is replaced as a whole.
        at: the keys that lead to ``into``.
    """
    key, rest = keys[0], keys[1:]
    if "class_path" in into and key not in CLASS:
        into = into.setdefault("init_args", {})
    before = into.get(key)
    place = (*at, key)
    named = isinstance(before, str) and before and before[:1] not in "{["
    if rest:
        if isinstance(before, list):  # the parser changes the last one of a list, which has no name here
            return
        into[key] = {"class_path": before} if named else before if isinstance(before, dict) else {}
        put(into[key], rest, value, replaced, place)
    elif isinstance(value, Mapping) and ".".join(map(str, place)) not in replaced:
        kept = {"class_path": before} if named and value.keys() & {"init_args"} else before
        into[key] = merge(dict(kept) if isinstance(kept, dict) else {}, value, replaced, place)
    elif isinstance(value, str) and isinstance(before, dict) and "class_path" in before:
        into[key] = {**before, "class_path": value}  # the parser keeps what both classes have
    elif str(key).endswith("+") and isinstance(before, list):
        into[key] = [*before, *(value if isinstance(value, list) else [value])]
    else:
        into[key] = with_values(value, lambda _, text: text)
