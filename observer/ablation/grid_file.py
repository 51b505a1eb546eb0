"""Reads a grid file as YAML, and names the file, the key and the value of each mistake in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from observer.refusal import nearest, shown
from observer.run.yaml_limits import text_within_limits
from observer.types import RefusedError

Overrides = dict[str, Any]
"""Option of ``observer fit`` -> its value, which may hold ``${..}``."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_OPTION = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*\+?")
_RUN_OWN = {
    "seed_everything": "seeds",
    "config": "base",
    "c": "base",
    "run_dir": "--output",
    "ckpt_path": "nothing: a run that was cut off is resumed by itself",
}
"""Options that a grid sets itself -> what decides them."""


@dataclass(frozen=True)
class Place:
    """A key of a grid file, for messages."""

    file: str
    key: str = ""

    def at(self, key: object) -> Place:
        """Return the place of a key below this one."""
        return Place(self.file, f"{self.key}.{key}" if self.key else str(key))

    def refused(self, value: object, mend: str) -> RefusedError:
        """Return a refusal of a value, with what to write instead."""
        return RefusedError(f"{self.file}: {self.key} is {shown(value)}; {mend}")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads ``on`` and ``off`` as the texts that they are, and refuses a key that is there twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (the loader's own)
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping of which each key is written once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                raise RefusedError(f"line {line}: {key.value} is there twice; rename or remove one of them")
            if isinstance(key.value, str):
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep=True)
        return made


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return what a grid file holds.

    Raises:
        RefusedError: there is no such file, it is no YAML, holds no mapping, or a key twice.
    """
    file = Path(path)
    if not file.is_file():
        raise RefusedError(f"{path}: there is no such file ({file.absolute()}); name a grid file")
    try:
        content = yaml.load(text_within_limits(file), Loader=_Loader)
    except RefusedError as error:
        raise RefusedError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise RefusedError(f"{path}: it is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RefusedError(
            f"{path}: it holds {type(content).__name__}, not a mapping such as 'seeds: [0, 1, 2]'"
        )
    return content


def mapping(value: object, place: Place, example: str) -> dict[Any, Any]:
    """Return a value that is a mapping.

    Args:
        value: of the file.
        place: of it.
        example: of what to write.

    Raises:
        RefusedError: it is none.
    """
    if not isinstance(value, Mapping):
        raise place.refused(value, f"write a mapping, such as {example}")
    return dict(value)


def unknown(word: object, known: Iterable[str], what: str) -> str:
    """Return why a word is refused that names nothing: what there is, those first that are near.

    >>> unknown("bonsu", ["bonus", "weight"], "axis")
    "no axis is called 'bonsu'; near it: bonus"
    """
    names = list(known)
    alike = nearest(str(word), names)
    told = f"near it: {', '.join(alike)}" if alike else f"there are {', '.join(names) or 'none'}"
    return f"no {what} is called {shown(word)}; {told}"


def name_of(key: object, place: Place) -> str:
    """Return a key as the name of a variant, an axis or a level: it will be the name of a folder.

    Raises:
        RefusedError: it cannot be one.
    """
    name = str(key).lower() if isinstance(key, bool) else str(key)
    if key is None or not _NAME.fullmatch(name) or len(name) > 100:
        raise place.refused(
            key, "write a name of letters, digits and _ . + -, at most 100, a letter or digit first"
        )
    return name


def overrides(value: object, place: Place) -> Overrides:
    """Return options with their values.

    Raises:
        RefusedError: it is no mapping, a key is no option, or one that the grid sets itself.
    """
    given = mapping({} if value is None else value, place, "{model.weighting: Uniform}, or {} for none")
    for option in given:
        if not isinstance(option, str) or not _OPTION.fullmatch(option):
            raise place.at(option).refused(
                given[option],
                f"{shown(option)} is no option; write one of observer fit, such as model.weighting",
            )
        if (decided := _RUN_OWN.get(option)) is not None:
            raise place.at(option).refused(given[option], f"remove it: it is decided by {decided}")
    return given
