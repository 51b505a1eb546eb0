"""Keeps pictures that rows hold as bytes: a file each in the user's folder of caches, named by its content.

So a picture of a parquet file is read like any other, by as many processes as like, and takes no memory. A
picture of many rows, or of many files of rows, is written once.
"""

from __future__ import annotations

import os
import re
import tempfile
from hashlib import blake2b
from pathlib import Path

from observer.data.checks import cache
from observer.refusal import printable
from observer.types import RefusedError

PREFIX = "kept:"
"""Before the digest in a picture's name."""
_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{32}}")


def keep(content: bytes) -> str:
    """Write a picture, unless it is there, and return the name that ``kept_path`` knows.

    Raises:
        RefusedError: it cannot be written.
    """
    name = PREFIX + blake2b(content, digest_size=16).hexdigest()
    try:
        path = kept_path(name)
    except RuntimeError as error:
        raise RefusedError("its picture has no place, as you have no home; set OBSERVER_CACHE") from error
    assert path is not None
    try:
        if not path.is_file() or path.stat().st_size != len(content):
            _write(path, content)
    except OSError as error:
        raise RefusedError(
            f"its picture cannot be kept in {printable(path.parent)} ({error.strerror or error}); set "
            "OBSERVER_CACHE to a folder with room for the pictures"
        ) from error
    return name


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. A disk that loses it costs a check, so nobody waits for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def kept_path(name: str) -> Path | None:
    """Return the file of a kept picture; None where a name is not that of one."""
    if not _NAME.fullmatch(name):
        return None
    digest = name.removeprefix(PREFIX)
    return folder() / digest[:2] / digest


def folder() -> Path:
    """Return the folder of all kept pictures."""
    return cache.folder().absolute() / "pictures"
