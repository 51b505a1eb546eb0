"""Configurations that come with the package, which go by name: ``--config quickstart``."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""Where they are: inside the package in a wheel, beside it in the repository."""


def shipped() -> dict[str, Path]:
    """Return name -> file of the shipped configurations."""
    folder = next(filter(Path.is_dir, FOLDERS), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def config_file(name: str) -> str:
    """Return the file that ``--config`` names: a file of that name, or else a shipped configuration.

    A name that is neither is returned as it is, for whoever reads it to refuse.
    """
    if Path(name).name != name or Path(name).is_file():
        return name
    return str(shipped().get(name, name))
