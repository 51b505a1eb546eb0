"""The callbacks of every run as options: each is set by its parameters, and may be a subclass."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from observer import strategies
from observer.cli.config_file import read_config
from observer.types import RefusedError


def add_callback(parser: ArgumentParser, base: type, name: str) -> None:
    """Add an option that takes a class below ``base`` with its parameters, and without one those of ``base``.

    Of ``name: {class_path: mine.Watch, init_args: {schedule: X}}`` a configuration may leave out the class,
    ``name: {schedule: X}``, and the command line has ``--name Watch`` and ``--name.schedule X``.

    Args:
        parser: of a command.
        base: the class that is taken unless another is named.
        name: of the option.
    """
    known = strategies.STANDS_FOR.get(base.__name__, base.__name__)
    options = [f"--{name}.{key} ({text})" for key, text in strategies.parameters(base).items()]
    parser.add_subclass_arguments(
        base,
        name,
        fail_untyped=False,
        default={"class_path": strategies.import_path(base)},
        metavar="CLASS | .OPTION VALUE",
        help=f"{strategies.summary(base)} Takes {known} or a subclass, by name or import path, or options: "
        f"{', '.join(options) or 'none'}. --{name}.help CLASS prints those of a class.",
    )


def refuse_twice(callbacks: Any, forced: Mapping[str, type]) -> None:
    """Refuse a callback of ``trainer.callbacks`` that every run has already.

    Args:
        callbacks: ``trainer.callbacks`` as it was parsed.
        forced: callbacks of every run, by the name of their options.

    Raises:
        RefusedError: names the callback, and the option that takes it.
    """
    for given in callbacks if isinstance(callbacks, list) else [callbacks]:
        path = given.get("class_path", "") if hasattr(given, "get") else ""
        cls = pkgutil.resolve_name(path) if path else None
        for option, base in forced.items():
            if isinstance(cls, type) and issubclass(cls, base):
                raise RefusedError(
                    f"trainer.callbacks has {path}, and every run has one {base.__name__}; write --{option} "
                    f"{path}, in YAML {option}: {{class_path: {path}, init_args: ..}}: it takes its place"
                )


def left_out(words: Sequence[str], config: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the options of callbacks that were given before a class which does not take them.

    The parser drops them. What is given after such a class is refused.

    Args:
        words: the command line.
        config: as it was parsed.
        names: of the options that take a callback.

    Returns:
        A sentence per option.
    """
    files = [word for option, word in pairwise(words) if option in ("-c", "--config")]
    files += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    contents = [
        read_config("--config", file) if os.path.isfile(file) else yaml.safe_load(file)  # or its text
        for file in files
    ]
    lines = []
    for name in names:
        sections = [content[name] for content in contents if isinstance(content.get(name), Mapping)]
        sections = [part.get("init_args", part) for part in sections]
        given = [key for part in sections for key in part or () if key != "class_path"]
        given += [
            found[1] for word in words if (found := re.match(rf"--{name}\.(?:init_args\.)?(\w+)", word))
        ]
        for key in dict.fromkeys(given):
            if key not in (config[name].get("init_args") or {}) and key not in ("class_path", "init_args"):
                lines.append(f"{name}.{key} is left out: {config[name].class_path} has no such option")
    return lines
