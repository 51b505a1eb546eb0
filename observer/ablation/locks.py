"""Locks of directories: one runner per grid, one process per run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observer.run.directory import LOCK, lock
from observer.types import RefusedError


@contextmanager
def only_runner(folder: Path) -> Iterator[None]:
    """Keep a second runner out of the directory of a grid.

    Args:
        folder: made where it does not exist.

    Raises:
        RefusedError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = lock(folder)
    except OSError as error:
        raise RefusedError(f"--output {folder} cannot be written: {error}; choose another") from error
    if descriptor is None:
        raise RefusedError(
            f"--output {folder} is being worked on by another observer ablate run; wait for it, or choose "
            f"another"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process writes to a run directory."""
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
