"""Keeps pictures that rows hold as bytes: a file each in the user's folder of caches, named by its content.

So a picture of a parquet file is read like any other, by as many processes as like, and takes no memory. A
picture of many rows, or of many files of rows, is written once.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path

from observer.data.checks import cache
from observer.refusal import printable
from observer.run.files import whole_file
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
    path = kept_path(name)
    assert path is not None
    try:
        if not path.is_file() or path.stat().st_size != len(content):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, "wb") as file:
                file.write(content)
    except OSError as error:
        raise RefusedError(
            f"its picture cannot be kept in {printable(path.parent)} ({error.strerror or error}); set "
            "OBSERVER_CACHE to a folder with room for the pictures"
        ) from error
    return name


def kept_path(name: str) -> Path | None:
    """Return the file of a kept picture; None where a name is not that of one."""
    if not _NAME.fullmatch(name):
        return None
    digest = name.removeprefix(PREFIX)
    return folder() / digest[:2] / digest


def folder() -> Path:
    """Return the folder of all kept pictures."""
    return cache.folder().absolute() / "pictures"
