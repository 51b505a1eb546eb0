"""Resolves ``${..}`` in the values of a configuration with omegaconf, within the limits of configurations.

What a value refers to may hold an interpolation too: it is resolved when it is first needed, once, and its
size counts at once, so that no text can multiply. A value that is needed while it is being resolved goes in a
circle.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from observer.refusal import nearest, shown
from observer.run.files import causes
from observer.run.yaml_limits import DEEPEST, MOST_BYTES, MOST_VALUES
from observer.types import RefusedError

Path = tuple[Any, ...]
"""The keys and list indices that lead to a value."""
MARK = "${"
MOST_INTERPOLATED, MOST_HOPS = 500, 10
"""Values of a configuration that hold an interpolation, and how many may lead from one to the next."""
_RESOLVER = "observer.value"
"""Takes the number of an interpolated value and returns what it stands for."""
_SPOT = "__observer_spot__"
"""A key under which a text is resolved, beside the value that it belongs to."""
_SIMPLE = re.compile(r"(?<!\\)(?:\\\\)*(\$\{[^{}]*\})")
LITERAL = r"write \${ for a literal ${"


class UnresolvedError(Exception):
    """An interpolation cannot be resolved; the message says why and what to write instead."""


def escaped(text: str) -> str:
    r"""Return a text that stands for itself where interpolations are resolved.

    >>> print(escaped(r"x ${y} \${z} $5"))
    x \${y} \\\${z} $5
    """
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def each_text(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the place and the text of each value that holds an interpolation, or an escaped one."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from each_text(part, (*path, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from each_text(part, (*path, place))
    elif isinstance(value, str) and MARK in value:
        yield path, value


def with_values(value: Any, new: Callable[[Path, str], Any], path: Path = ()) -> Any:
    """Return a copy of a value whose interpolated texts are replaced.

    Args:
        value: mappings, lists and scalars.
        new: (place, text) -> the value instead.
        path: the place of ``value``.
    """
    if isinstance(value, Mapping):
        return {key: with_values(part, new, (*path, key)) for key, part in value.items()}
    if isinstance(value, list):
        return [with_values(part, new, (*path, place)) for place, part in enumerate(value)]
    return new(path, value) if isinstance(value, str) and MARK in value else value


class Settled:
    """The options of a run, with all interpolations resolved that can be.

    Args:
        options: as nested mappings; options that nobody wrote have their defaults, or are absent.

    Raises:
        RefusedError: the resolved values are more, or larger, than those of a configuration may be.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        from omegaconf import OmegaConf  # a quarter of a second, which only interpolations need

        self._omegaconf, self._register = OmegaConf, OmegaConf.register_new_resolver
        if "replace" in inspect.signature(OmegaConf.register_resolver).parameters:  # its name since 2.4
            self._register = OmegaConf.register_resolver
        self._options = options
        self.raw = dict(each_text(options))
        """Place -> text of the values that hold an interpolation."""
        if len(self.raw) > MOST_INTERPOLATED:
            raise RefusedError(
                f"{len(self.raw):,} values hold {MARK}..}}; a configuration has at most {MOST_INTERPOLATED:,}"
            )
        self._places = list(self.raw)
        self._known: dict[Path, Any] = {}
        self._open: list[tuple[Path, str]] = []  # those being resolved, each for the one before it
        self._values, self._bytes, self._longest = 0, 0, 0
        self._count(options, ())
        numbers = {path: number for number, path in enumerate(self._places)}
        try:
            self._root = OmegaConf.create(
                with_values(options, lambda path, _: f"${{{_RESOLVER}:{numbers[path]}}}")
            )
        except Exception as error:  # values that YAML knows and omegaconf does not
            raise RefusedError(f"interpolations cannot be resolved beside this value: {error}") from error
        self.failed: dict[Path, UnresolvedError] = {}
        """Place -> why it cannot be resolved."""
        for path, text in self.raw.items():
            try:
                self.resolve(path, text)
            except UnresolvedError as error:
                self.failed[path] = error

    def resolve(self, path: Path, text: str) -> Any:
        """Return what a text stands for at a place.

        Args:
            path: of the value, for relative interpolations and for messages.
            text: of the value, or another one that was written there earlier.

        Raises:
            UnresolvedError: it cannot be resolved.
        """
        self._register(_RESOLVER, self._needed, replace=True)
        return self._settled(path) if self.raw.get(path) == text else self._value(path, text)

    def _settled(self, path: Path) -> Any:
        """Return a value of the options, resolved once."""
        if path not in self._known:
            value = self._value(path, self.raw[path])
            self._count(value, path)
            self._known[path] = value
        return self._known[path]

    def _needed(self, number: int) -> Any:
        """Return a value that another one, the last of ``_open``, refers to."""
        path = self._places[number]
        if (path, self.raw[path]) in self._open:
            raise UnresolvedError(f"it leads to itself; {LITERAL}")
        if len(self._open) > MOST_HOPS:
            raise UnresolvedError(f"it leads over more than {MOST_HOPS} others; {LITERAL}")
        try:
            value = self._settled(path)
        except UnresolvedError as error:
            raise UnresolvedError(f"{_dotted(path)} is {shown(self.raw[path])}: {error}") from error
        self._refuse_long(self._open[-1][1])
        return value

    def _value(self, path: Path, text: str) -> Any:
        """Return what a text stands for at a place.

        Raises:
            UnresolvedError: it cannot be resolved.
        """
        self._refuse_long(text)
        self._open.append((path, text))
        try:
            container = self._container(path)
            value = self._read(container, text)
            if isinstance(value, str) and any(found[0] != text for found in _SIMPLE.finditer(text)):
                for found in _SIMPLE.finditer(text):
                    part = self._read(container, found[1])
                    if part is None or isinstance(part, dict | list):
                        what = "null" if part is None else "a section of options"
                        raise UnresolvedError(f"{found[1]} is {what}, which cannot stand within a text")
        finally:
            self._open.pop()
        return value

    def _refuse_long(self, text: str) -> None:
        """Refuse a text that may be too long with the values known so far, before it is put together."""
        if text.count(MARK) * self._longest > MOST_BYTES:
            raise RefusedError(
                f"{shown(text)} would be too long once it is resolved; a configuration has at most "
                f"{MOST_BYTES:,} bytes"
            )

    def _container(self, path: Path) -> Any:
        """Return the innermost mapping or list that is there on the way to a place."""
        plain, found = self._options, self._root
        for key in path[:-1]:
            try:
                plain = plain[key]
            except (LookupError, TypeError):  # the options of another class, which was written later
                break
            if not isinstance(plain, Mapping | list):
                break
            found = found[key]
        return found

    def _read(self, container: Any, text: str) -> Any:
        """Return the value of a text beside the others of a container."""
        if is_list := self._omegaconf.is_list(container):
            container.append(None)
        place = len(container) - 1 if is_list else f"{_SPOT}{len(self._open)}"
        container[place] = None
        try:
            container[place] = text
            value = container[place]
            is_section = self._omegaconf.is_config(value)
            return self._omegaconf.to_container(value, resolve=True) if is_section else value
        except Exception as error:  # a resolver may raise anything
            for cause in causes(error):
                if isinstance(cause, UnresolvedError | RefusedError):
                    raise cause from None
            raise UnresolvedError(self._why(error)) from error
        finally:
            del container[place]

    def _why(self, error: Exception) -> str:
        """Return why an interpolation cannot be resolved, and what to write instead."""
        told = str(error).partition("\n")[0]
        if found := re.search(r"Interpolation key '(.*)' not found", told):
            alike = nearest(found[1], (_dotted(path) for path in _paths(self._options)))
            mend = f"; near it: {', '.join(alike)}" if alike else ""
            return f"no option is called {found[1]}{mend}; {LITERAL}"
        if found := re.search(r"Environment variable '(.*)' not found", told):
            return f"the environment has no {found[1]}; set it, or write ${{oc.env:{found[1]},VALUE}}"
        if found := re.search(r"Unsupported interpolation type (.*)", told):
            return f"no resolver is called {found[1]}; use oc.env, oc.decode or oc.select; {LITERAL}"
        if type(error).__name__ == "GrammarParseError":
            return f"it cannot be read as an interpolation ({told}); {LITERAL}"
        return f"{told}; {LITERAL}"

    def _count(self, value: Any, path: Path) -> None:
        """Hold the limits of a configuration for what was read and resolved so far."""
        todo = [(value, len(path))]
        while todo:
            part, depth = todo.pop()
            self._values += 1
            if isinstance(part, Mapping):
                todo += [(below, depth + 1) for pair in part.items() for below in pair]
            elif isinstance(part, list):
                todo += [(below, depth + 1) for below in part]
            elif isinstance(part, str):
                self._bytes += len(part)
                self._longest = max(self._longest, len(part))
            if depth > DEEPEST or self._values > MOST_VALUES or self._bytes > MOST_BYTES:
                where = _dotted(path) or "the configuration"
                raise RefusedError(
                    f"{where}: with interpolations resolved it is too large; a configuration has at most "
                    f"{MOST_VALUES:,} values in {MOST_BYTES:,} bytes, nested at most {DEEPEST} deep"
                )


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the place of each option, sections too."""
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _paths(part, (*path, key))
