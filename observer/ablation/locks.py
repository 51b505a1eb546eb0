"""Locks of directories: one runner per grid, one process per run. A process that ends lets go of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observer.run.directory import LOCK
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
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise RefusedError(f"--output {folder} cannot be written: {error}; choose another") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RefusedError(
            f"--output {folder} is being worked on by another observer ablate run; wait for it, or choose "
            f"another"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process writes to a run directory."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
