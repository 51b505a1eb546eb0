"""A folder of the user's for results that took long to compute. A fault of it costs time, nothing else.

Each file ends with a seal, the digest of all bytes before it: a truncated or damaged file counts as missing.
It knows nothing of rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

import observer
from observer.run.files import whole_file

SEAL_BYTES = 32
UNUSED_DAYS = 30
"""Days after which a file that was not used is removed."""
LIBRARIES = (
    "numpy",
    "pillow",
    "pyarrow",
    "transformers",
    "tokenizers",
    "jinja2",
    "math-verify",
    "latex2sympy2-extended",
    "sympy",
)
"""Packages whose versions decide the result of a check, beside the code of this one."""
_OURS = re.compile(
    r"\.?[0-9a-f]{64}\.(rows|admission|door)(\.(\d+|observer-\d+-[0-9a-f]{8}-\d+)\.tmp)?|rows-\w+\.spool"
)
"""Names of the files, whole or half-written, and of rows that are being checked; ``.door`` is what
``.admission`` was once called."""
_LOADED = time.time()
"""When this process loaded its code, to within a second or so."""


def folder() -> Path:
    """Return ``$OBSERVER_CACHE``, else ``observer`` in the user's folder of caches.

    Raises:
        RuntimeError: the user has no home.
    """
    if named := os.environ.get("OBSERVER_CACHE"):
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "observer"


def digest(*parts: object) -> str:
    """Return a digest of builtins, the same in every process.

    Raises:
        TypeError: something else is among them.
    """
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=SEAL_BYTES).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return a digest of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def code_digest(*classes: type) -> str | None:
    """Return a digest of the code that checks: this package, the modules of classes, versions of libraries.

    Returns:
        None where that is not known: a module is no file, or was written to since it was loaded.
    """
    modules = [sys.modules.get(cls.__module__) for cls in classes]
    own = [getattr(module, "__file__", None) for module in modules]
    return None if None in own else _code_digest(tuple(sorted({str(file) for file in own})))


@cache
def _code_digest(own: tuple[str, ...]) -> str | None:
    package = sorted(Path(observer.__file__).parent.rglob("*.py"))
    versions = [_version(name) for name in LIBRARIES]
    try:
        files = [*package, *map(Path, own)]
        if any(file.stat().st_mtime > _LOADED for file in files):
            return None
        return digest(sys.version, versions, [file_digest(file) for file in files])
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(path: Path, content: bytes | Callable[[IO[bytes]], None]) -> None:
    """Write a sealed file atomically, and remove files that were not used for a long time.

    Args:
        path: of the file, which is named by a digest and ends with ``.rows`` or ``.admission``.
        content: its bytes, or a function that writes them.

    Raises:
        OSError: it cannot be written; an earlier file stays.
    """
    with whole_file(path, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)
        file.flush()
        file.write(_seal(Path(file.name)))
    _tidy(path.parent)


def whole(path: Path) -> bool:
    """Return whether a sealed file exists and is undamaged; it then counts as used.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - SEAL_BYTES))
        seal = file.read()
    with suppress(OSError):  # of a folder that may be read only
        os.utime(path)
    return seal == _seal(path, SEAL_BYTES)


def _seal(path: Path, without: int = 0) -> bytes:
    """Return the digest of a file without its last bytes; it is read, not mapped, and so takes no memory."""
    found = hashlib.blake2b(digest_size=SEAL_BYTES)
    left = path.stat().st_size - without
    with path.open("rb", buffering=0) as file:
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            found.update(part)
            left -= len(part)
    return found.digest()


def _tidy(directory: Path) -> None:
    for file in directory.iterdir():
        if not _OURS.fullmatch(file.name):
            continue
        with suppress(OSError):  # another process may be faster
            days = (time.time() - file.stat().st_mtime) / 86400
            if days > (1 if file.suffix in (".tmp", ".spool") else UNUSED_DAYS):
                file.unlink()
