"""Reads plugins and learner before the parser is built: they decide which options exist."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import yaml

from observer import strategies
from observer.cli.config_file import check_values, read_config
from observer.types import RefusedError

DEFAULT_LEARNER = "observer.learner.ObserveLearner"


def learner_of(words: list[str]) -> type:
    """Import all strategies and plugins, and return the class that ``model`` configures.

    Raises:
        RefusedError: a configuration file, a plugin or the learner cannot be read or imported.
    """
    return learner_of_ones_own(words) or _import(DEFAULT_LEARNER)


def learner_of_ones_own(words: list[str]) -> type | None:
    """Import all strategies and plugins, and return the learner that a user names.

    None for the default one, which is not imported: Lightning takes seconds.

    Raises:
        RefusedError: a configuration file, a plugin or the learner cannot be read or imported.
    """
    early = _early_settings(words)
    strategies.load_entry_points()
    for plugin in early["plugins"]:
        strategies.load_plugin(plugin)
    for family in strategies.FAMILIES:
        strategies.base_class(family)
    return None if early["learner"] == DEFAULT_LEARNER else _import(early["learner"])


def _early_settings(words: list[str]) -> dict[str, Any]:
    """Read ``plugins`` and ``learner`` from configuration files and command line; the last value wins."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    parser.add_argument("--plugins", default=None)
    parser.add_argument("--learner", default=None)
    given, _ = parser.parse_known_args(words)
    check_values("the command line", [word for word in words if word not in given.config])
    settings: dict[str, Any] = {"plugins": [], "learner": DEFAULT_LEARNER}
    for name in given.config:
        content = read_config("--config", name)
        check_values(f"--config {name}", content)
        settings |= {key: content[key] for key in settings if content.get(key) is not None}
    if given.plugins is not None:
        try:
            settings["plugins"] = yaml.safe_load(given.plugins)
        except yaml.YAMLError as error:
            raise RefusedError(f"--plugins {given.plugins!r} is no list: {error}; write [mine.py]") from error
    if given.learner is not None:
        settings["learner"] = given.learner
    if not isinstance(settings["learner"], str):
        raise RefusedError(f"learner is {settings['learner']!r}; name a class by its import path")
    plugins = settings["plugins"]
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise RefusedError(f"plugins is {plugins!r}; give a list of Python files, such as [mine.py]")
    return settings


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, type):
            raise TypeError(f"it is no class but {found!r}")
        return found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        moved = "".join(f"; {line}" for line in strategies.moved(path))
        raise RefusedError(
            f"learner {path!r} cannot be imported: {error}{moved}; name a class by its import path, "
            f"such as {DEFAULT_LEARNER}"
        ) from error
