"""Locks of folders: one builder of a ladder, one runner of a grid, one process of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observer.run.directory import LOCK, lock
from observer.types import RefusedError


@contextmanager
def only_one(folder: Path, output: Path, what: str) -> Iterator[None]:
    """Keep a second process out of a folder.

    Args:
        folder: made where it does not exist.
        output: the folder that the option ``--output`` names.
        what: is done there, for the message.

    Raises:
        RefusedError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = lock(folder)
    except OSError as error:
        raise RefusedError(f"--output {output} cannot be written: {error}; choose another") from error
    if descriptor is None:
        where = "" if folder == output else f" ({folder})"
        raise RefusedError(
            f"--output {output} is being {what} by another process{where}; wait for it, or choose another"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process writes to a folder."""
    if not (folder / LOCK).exists():
        return False
    try:
        descriptor = lock(folder)
    except OSError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
