"""The callbacks of every run as options: each is set by its parameters, and may be a subclass."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from observer import strategies
from observer.cli.configuration.written import content_of, parts
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
    given: dict[str, list[str]] = {name: [] for name in names}
    for part in parts(words):
        is_config = part.name == "config" and part.value is not None
        content = content_of(str(part.value))[1] if is_config else {part.name: None}
        for option, value in content.items():
            name, _, key = str(option).partition(".")
            given.get(name, []).extend([key.removeprefix("init_args.")] if key else _options(value))
    lines = []
    for name, options in given.items():
        for key in dict.fromkeys(option.partition(".")[0] for option in options):
            if key not in (config[name].get("init_args") or {}) and key not in ("class_path", "init_args"):
                lines.append(f"{name}.{key} is left out: {config[name].class_path} has no such option")
    return lines


def _options(section: Any) -> list[str]:
    """Return the options of a callback that a configuration gives, with a class or without one."""
    return list(section.get("init_args") or section) if isinstance(section, Mapping) else []
