"""Resolves ``${..}`` in the values of a configuration with omegaconf, within the limits of configurations.

What a value refers to may be an interpolation too. Values are therefore settled in rounds, those that need
no other one first: nothing is resolved twice, so that no text can multiply, and what is never settled goes in
a circle.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from observer.cli.config_file import DEEPEST, MOST_BYTES, MOST_VALUES
from observer.refusal import shown
from observer.run.files import causes
from observer.types import RefusedError

Path = tuple[Any, ...]
"""The keys and list indices that lead to a value."""
MARK = "${"
MOST_INTERPOLATED, MOST_ROUNDS = 500, 10
"""Values of a configuration that hold an interpolation, and how many may lead from one to the next."""
_SPOT = "__observer_spot__"
"""A key under which a text is resolved, beside the value that it belongs to."""
_SIMPLE = re.compile(r"(?<!\\)(?:\\\\)*(\$\{[^{}]*\})")
LITERAL = r"write \${ for a literal ${"


class UnsettledError(Exception):
    """The value is not known yet."""


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

        if not OmegaConf.has_resolver("observer.pending"):
            register = getattr(OmegaConf, "register_resolver", None) or OmegaConf.register_new_resolver
            register("observer.pending", _pending)
        self._config = OmegaConf
        self.raw = dict(each_text(options))
        if len(self.raw) > MOST_INTERPOLATED:
            raise RefusedError(
                f"{len(self.raw):,} values hold {MARK}..}}; a configuration has at most {MOST_INTERPOLATED:,}"
            )
        self.failed: dict[Path, UnresolvedError] = {}
        self._values, self._bytes = 0, 0
        self._longest = 0
        self._count(options, ())
        try:
            self._root = OmegaConf.create(with_values(options, lambda path, text: "${observer.pending:}"))
        except Exception as error:  # values that YAML knows and omegaconf does not
            raise RefusedError(f"interpolations cannot be resolved beside this value: {error}") from error
        self._settle()

    def resolve(self, path: Path, text: str) -> Any:
        """Return what a text stands for at a place.

        Args:
            path: of the value, for relative interpolations and for messages.
            text: of the value.

        Raises:
            UnresolvedError: it cannot be resolved.
        """
        if self.raw.get(path) == text and path in self.failed:
            raise self.failed[path]
        try:
            return self._value(self._container(path), text)
        except UnsettledError as error:
            why = f"it leads to itself, over more than {MOST_ROUNDS} others, or to one that fails"
            raise UnresolvedError(f"{why}; {LITERAL}") from error

    def _settle(self) -> None:
        """Resolve values in rounds: first those that refer to no other one."""
        left = dict(self.raw)
        for _ in range(MOST_ROUNDS):
            before = len(left)
            for path, text in list(left.items()):
                try:
                    value = self._value(self._container(path), text)
                except UnsettledError:
                    continue
                except UnresolvedError as error:
                    self.failed[path] = error
                else:
                    self._count(value, path)
                    literal = with_values(value, lambda _, part: escaped(part))
                    self._container(path)[path[-1]] = literal
                del left[path]
            if len(left) == before:
                return

    def _container(self, path: Path) -> Any:
        """Return the innermost mapping or list that is there on the way to a place."""
        found = self._root
        for key in path[:-1]:
            try:
                part = found[key]
            except Exception:  # another class, or a value that is not settled
                break
            if not self._config.is_config(part):
                break
            found = part
        return found

    def _value(self, container: Any, text: str) -> Any:
        """Return what a text stands for beside the values of a container.

        Raises:
            UnsettledError: it refers to a value that is not settled yet.
            UnresolvedError: it cannot be resolved.
        """
        if text.count(MARK) * self._longest > MOST_BYTES:
            raise RefusedError(
                f"{shown(text)} would be too long once it is resolved; a configuration has at most "
                f"{MOST_BYTES:,} bytes"
            )
        value = self._read(container, text)
        if isinstance(value, str) and any(found[0] != text for found in _SIMPLE.finditer(text)):
            for found in _SIMPLE.finditer(text):
                part = self._read(container, found[1])
                if part is None or isinstance(part, dict | list):
                    what = "null" if part is None else "a section of options"
                    raise UnresolvedError(f"{found[1]} is {what}, which cannot stand within a text")
        return value

    def _read(self, container: Any, text: str) -> Any:
        place: str | int = _SPOT
        try:
            if self._config.is_list(container):
                container.append(text)
                place = len(container) - 1
            else:
                container[place] = text
            value = container[place]
            return self._config.to_container(value, resolve=True) if self._config.is_config(value) else value
        except Exception as error:  # a resolver may raise anything
            if any(isinstance(cause, UnsettledError) for cause in causes(error)):
                raise UnsettledError from error
            raise UnresolvedError(self._why(error)) from error
        finally:
            if self._config.is_list(container):
                if place != _SPOT:
                    container.pop()
            elif place in container:
                del container[place]

    def _why(self, error: Exception) -> str:
        """Return why an interpolation cannot be resolved, and what to write instead."""
        told = str(error).partition("\n")[0]
        kind = type(error).__name__
        if found := re.search(r"Interpolation key '(.*)' not found", told):
            known = [".".join(map(str, path)) for path in _paths(self._config.to_container(self._root))]
            near = difflib.get_close_matches(found[1], known, n=3)
            mend = f"; near it: {', '.join(near)}" if near else ""
            return f"no option is called {found[1]}{mend}; {LITERAL}"
        if found := re.search(r"Environment variable '(.*)' not found", told):
            return f"the environment has no {found[1]}; set it, or write ${{oc.env:{found[1]},VALUE}}"
        if found := re.search(r"Unsupported interpolation type (.*)", told):
            return f"no resolver is called {found[1]}; use oc.env, oc.decode or oc.select; {LITERAL}"
        if kind == "GrammarParseError":
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
                where = ".".join(map(str, path)) or "the configuration"
                raise RefusedError(
                    f"{where}: with interpolations resolved it is too large; a configuration has at most "
                    f"{MOST_VALUES:,} values in {MOST_BYTES:,} bytes, nested at most {DEEPEST} deep"
                )


def _pending() -> Any:
    raise UnsettledError


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the place of each option, sections too."""
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _paths(part, (*path, key))
