"""Reads plugins and learner before the parser is built: they decide which options exist."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import yaml

from observer import strategies
from observer.cli.config_file import check_values
from observer.cli.configuration.interpolation import Settled, UnresolvedError, each_text, with_values
from observer.cli.configuration.other_names import refuse_other_names
from observer.cli.configuration.written import Written, parts, replaced_options
from observer.types import RefusedError

DEFAULT_LEARNER = "observer.learner.ObserveLearner"


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what a command needs without looking for garbage: what is imported stays.

    The collector would go through torch again and again while it is imported, and once more when the process
    ends. What there is after the first use in a process is left alone from then on.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        _leave_what_there_is()
    finally:
        if enabled:
            gc.enable()


@cache
def _leave_what_there_is() -> None:
    """Look for no garbage among all that there is now; once, as it takes time where there is much."""
    gc.freeze()


def prepared(words: list[str], defaults: Callable[[type], dict[str, Any]]) -> tuple[type | None, list[str]]:
    """Read a command line before the parser is built.

    Args:
        words: the command line, with or without the command.
        defaults: gives, for a learner, the options that nobody wrote; called only if one is needed.

    Returns:
        The learner that a user names (None for the default one, which is not imported: Lightning takes
        seconds), and the command line as the parser is to read it: shipped configurations by their files,
        interpolations resolved. All strategies and plugins are imported.

    Raises:
        RefusedError: a configuration file, a plugin or the learner cannot be read or imported, an
            interpolation cannot be resolved, or an option has another name here.
    """
    on_the_line = [word for part in parts(words) if part.name != "config" for word in part.words]
    check_values("the command line", on_the_line)
    written = Written(words)
    for part in written.parts:
        if part.content is not None:
            check_values(part.where, part.content)
    refuse_other_names(written)
    plugins, learner = _plugins_and_learner(written)
    strategies.load_entry_points()
    for plugin in plugins:
        strategies.load_plugin(plugin)
    for family in strategies.FAMILIES:
        strategies.base_class(family)
    own = None if learner == DEFAULT_LEARNER else _import(learner)
    if not written.interpolated():
        return own, written.resolved(dict)
    found = own or default_learner()
    return own, written.resolved(partial(defaults, found), replaced_options(found))


def default_learner() -> type:
    """Import and return the learner that is trained where nobody names one."""
    return _import(DEFAULT_LEARNER)


def _plugins_and_learner(written: Written) -> tuple[list[str], str]:
    """Read ``plugins`` and ``learner`` from configuration files and command line; the last value wins."""
    settings: dict[str, Any] = {"plugins": [], "learner": DEFAULT_LEARNER}
    given: list[tuple[str, Any]] = []
    for part in written.parts:
        given += (part.content or {}).items()
    given += [(part.name, part.value) for part in written.parts if part.content is None]
    for name, value in given:
        if value is None or name not in ("plugins", "plugins+", "learner"):
            continue
        if name == "learner":
            settings[name] = value
        else:
            before = settings["plugins"] if name == "plugins+" else []
            settings["plugins"] = [*before, *plugin_files(value)]
    if any(each_text(settings)):
        settled = Settled({"learner": DEFAULT_LEARNER, "plugins": [], **written.options(), **settings})

        def resolved(path: tuple[Any, ...], text: str) -> Any:
            try:
                return settled.resolve(path, text)
            except UnresolvedError as error:
                raise RefusedError(f"{path[0]} is {text!r}: {error}; write what it refers to") from error

        settings = with_values(settings, resolved)
    learner, plugins = settings["learner"], settings["plugins"]
    if not isinstance(learner, str):
        raise RefusedError(f"learner is {learner!r}; name a class by its import path")
    if not all(isinstance(plugin, str) for plugin in plugins):
        raise RefusedError(f"plugins is {plugins!r}; give a list of Python files, such as [mine.py]")
    return plugins, learner


def plugin_files(given: Any) -> list[Any]:
    """Return the files that a value of ``plugins`` names: a list of them, its text, or one file.

    Raises:
        RefusedError: it is no list of texts.
    """
    files = given
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        try:
            files = yaml.safe_load(given)
        except yaml.YAMLError as error:
            raise RefusedError(f"--plugins {given!r} is no list: {error}; write [mine.py]") from error
    if isinstance(files, str):
        return [files]
    if not isinstance(files, list):
        raise RefusedError(f"plugins is {given!r}; give a list of Python files, such as [mine.py]")
    return files


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        if not module and (known := strategies.in_plugins(name)) is None:
            raise ImportError("no file of plugins has a class of this name")
        found = getattr(importlib.import_module(module), name) if module else known
        if not isinstance(found, type):
            raise TypeError(f"it is no class but {found!r}")
        if "LightningModule" not in (base.__name__ for base in found.__mro__):
            raise TypeError(f"{found.__name__} is no LightningModule")
        return found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        moved = "".join(f"; {line}" for line in strategies.moved(path))
        raise RefusedError(
            f"learner {path!r} cannot be imported: {error}{moved}; name a class by its import path, "
            f"such as {DEFAULT_LEARNER}, or one of a file of plugins by its name"
        ) from error
