"""One line for a class that a configuration names and that is not there: optimizer, callback, logger."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from observer.refusal import nearest, shown

_MISSING = (
    re.compile(r"Expected a dot import path string: (?P<name>.*)"),
    re.compile(r"(?P<why>No module named '.*?')\. Got value: (?P<name>.*)"),
    re.compile(r"(?P<why>module '.*?' has no attribute '.*?')\. Got value: (?P<name>.*)"),
    re.compile(r"(?P<why>Expected '.*?' to be a subclass of .*?)\.*\. Got value: (?P<name>.*)"),
)


def unknown_class(option: str, hint: Any, message: str) -> str | None:
    """Return what to say of a class that cannot be found, in one line; None if this is not what is wrong.

    Args:
        option: that names it.
        hint: the type of the option.
        message: of the parser.
    """
    found = next(filter(None, (pattern.search(message) for pattern in _MISSING)), None)
    if found is None:
        return None
    written = found["name"].strip()
    name = re.sub(r"^Namespace\(class_path='(.*?)'.*", r"\1", written)
    why = found.groupdict().get("why") or "no class of this name is known"
    bases = [part for part in _classes(hint) if not inspect.isbuiltin(part)]
    known = sorted({cls.__name__ for base in bases for cls in _below(base)})
    words = plain_words(hint)
    known += [base.__name__ for base in bases if words]  # one that is a strategy itself
    alike = nearest(name.rpartition(".")[2], [*words, *known])
    mend = "name one by its import path, such as mine.Own"
    if words and "." not in name and not found.groupdict().get("why"):
        near = f"near it: {', '.join(alike)}; " if alike else ""
        mend = f"{near}write {', '.join(words)}, or the import path of a class"
    elif alike:
        mend = f"near it: {', '.join(alike)}; a class of your own goes by its import path, such as mine.Own"
    elif why.startswith("No module"):
        mend = "start with PYTHONPATH set to the folder of its file"
    return f"{option} is {shown(name)}: {why}; {mend}"


def plain_words(hint: Any) -> list[str]:
    """Return the words that an option takes in place of a class, such as ``auto`` or ``null``.

    >>> plain_words(dict | typing.Literal["auto"] | None)
    ['auto', 'null']
    """
    if typing.get_origin(hint) is typing.Literal:
        return [str(word) for word in typing.get_args(hint)]
    if hint is type(None):
        return ["null"]
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [word for part in (typing.get_args(hint) if is_union else ()) for word in plain_words(part)]


def _classes(hint: Any) -> Iterator[type]:
    """Yield the classes in a type: of a callable, those that it returns."""
    if isinstance(hint, type) and hint.__module__ != "builtins" and not typing.get_args(hint):
        yield hint
    for part in typing.get_args(hint):
        if not isinstance(part, list):
            yield from _classes(part)


def _below(base: type) -> Iterator[type]:
    """Yield the classes under a base that can be made and are offered, those imported so far."""
    below: list[type] = base.__subclasses__()
    for cls in below:
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls
        yield from _below(cls)
