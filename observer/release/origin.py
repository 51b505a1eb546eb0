"""What a model was trained from: its name on the hub and its licence, as far as its files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from observer.policy.model_files import SHIPPED

README = "README.md"
LARGEST = 2**20
"""Characters of a README that are read."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{1,60}")


@dataclass(frozen=True)
class Origin:
    """The model that training started from."""

    name: str
    """Its hub id; "" for a folder whose card names none: folders are no names for others."""
    licence: str
    """As the hub writes it; "" where its files name none."""
    shipped: bool = False
    """Whether it comes with this package."""

    @property
    def on_hub(self) -> bool:
        """Whether the name can be looked up."""
        return bool(self.name) and not self.shipped


def origin(path: str) -> Origin:
    """Return what is known of a model from its path and from the card in its folder; asks no network.

    Args:
        path: of ``PolicySpec``: a folder, a hub id, or the name of a model of this package.

    >>> origin("observer:tiles")
    Origin(name='observer:tiles', licence='apache-2.0', shipped=True)
    """
    folder = Path(path).expanduser()
    for name, shipped in SHIPPED.items():
        if path == name or (folder.is_dir() and folder.resolve() == shipped.resolve()):
            return Origin(name, "apache-2.0", shipped=True)  # the licence of this package
    if folder.is_dir():
        said = _front_matter(folder / README)
        return Origin(_fitting(said, "base_model", _HUB_ID), _fitting(said, "license", _LICENCE))
    if not _HUB_ID.fullmatch(path):
        return Origin("", "")
    return Origin(path, _fitting(_front_matter(_cached(path)), "license", _LICENCE))


def _cached(name: str) -> Path | None:
    """Return the README of a hub model, if it is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, README)
    return Path(found) if isinstance(found, str) else None


def _front_matter(path: Path | None) -> Mapping[str, Any]:
    """Return the YAML at the head of a card; nothing where there is none."""
    try:
        text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")[:LARGEST]
        found = re.match(r"---\r?\n(.*?)\r?\n---\s*(?:\n|$)", text, re.DOTALL)
        said = yaml.safe_load(found[1]) if found else None
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return said if isinstance(said, Mapping) else {}


def _fitting(said: Mapping[str, Any], key: str, form: re.Pattern[str]) -> str:
    value = said.get(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) and form.fullmatch(value) else ""
