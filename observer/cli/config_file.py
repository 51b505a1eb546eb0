"""Reads configurations: what is nested deep, or multiplies by its aliases, is refused before it is built."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from observer.cli.configuration.shipped import shipped
from observer.run.yaml_limits import DEEPEST, check_limits, text_within_limits
from observer.types import RefusedError

_SHORT = 100
"""A text of so few characters is neither deep nor does it multiply."""


def read_config(option: str, name: str) -> dict[str, Any]:
    """Return the content of a configuration file.

    Args:
        option: that names the file, for messages.
        name: path of the file.

    Raises:
        RefusedError: there is no such file, it holds no mapping, or it is too large, too deep or multiplies.
    """
    content = _read(option, name)
    if not isinstance(content, dict):
        raise RefusedError(
            f"{option} {name}: it holds {type(content).__name__}, not a mapping of options "
            f"such as 'run_dir: runs/mine'"
        )
    return content


def _read(option: str, name: str) -> Any:
    """Return what a YAML file holds."""
    file = Path(name)
    if not os.path.isfile(name):
        raise RefusedError(
            f"{option} {name}: there is no such file ({os.path.abspath(name)}); name a YAML file, or one of "
            f"those that come with observer: {', '.join(shipped())}"
        )
    try:
        return yaml.safe_load(text_within_limits(file))
    except RefusedError as error:
        raise RefusedError(f"{option} {name}: {error}") from error
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise RefusedError(f"{option} {name}: it is no YAML: {error}") from error


def check_values(where: str, given: Any) -> None:
    """Refuse values that a parser of options would read further: texts of YAML, and the files they name.

    Args:
        where: of the values, for messages.
        given: mappings, lists and texts, such as the words of a command line.

    Raises:
        RefusedError: one is nested too deep, multiplies, or holds a NUL, which no path can.
    """
    seen: set[str] = set()
    todo = [(where, given)]
    while todo:
        place, value = todo.pop()
        if isinstance(value, Mapping):
            todo += [(place, part) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            todo += [(place, part) for part in value]
        elif isinstance(value, str):
            text = value.partition("=")[2] if value.startswith("--") else value
            if "\0" in text:
                raise RefusedError(f"{place}: {text[:60]!r} holds a NUL; leave it out")
            if text.endswith((".yaml", ".yml")) and text not in seen and os.path.isfile(text):
                seen.add(text)
                todo.append((text, _read(place, text)))
            elif text.endswith(".json") and os.path.isfile(text):
                _check_json(place, text)
            elif len(text) > _SHORT:
                check_text(place, text)


def check_text(place: str, text: str) -> None:
    """Refuse a text of YAML that is nested too deep or too long once its aliases are written out.

    Raises:
        RefusedError: names the place and begins with the text.
    """
    try:
        check_limits(text)
    except yaml.YAMLError:  # a text that is no YAML is just a text
        pass
    except RefusedError as error:
        raise RefusedError(f"{place}: {text[:60]!r}..: {error}") from error


def _check_json(place: str, name: str) -> None:
    """Refuse a JSON file that is nested deep; it may hold rows, and be long."""
    try:
        depth, layer = 0, [json.loads(Path(name).read_bytes())]
        while layer and depth <= DEEPEST:
            depth += 1
            nested = [value.values() if isinstance(value, dict) else value for value in layer]
            layer = [part for value in nested if not isinstance(value, str) for part in value]
            layer = [part for part in layer if isinstance(part, dict | list)]
    except (ValueError, OSError, TypeError):  # whoever reads it says what it is not
        return
    except RecursionError:
        depth = DEEPEST + 1
    if depth > DEEPEST:
        raise RefusedError(f"{place}: {name} is nested more than {DEEPEST} deep; name another file")
