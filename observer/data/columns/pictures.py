"""Makes names of pictures from what columns hold: paths, bytes, or objects of both."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from observer.data.checks.picture_cache import keep
from observer.data.columns.mapping import ColumnMap
from observer.data.columns.paths import MISSING, empty
from observer.refusal import shown
from observer.types import RefusedError


def values_of(value: object) -> list[object]:
    """Return the pictures of a column: none, one, or those of a list."""
    if value is MISSING or empty(value):
        return []
    return [item for item in value if not empty(item)] if isinstance(value, list) else [value]


def name_of(value: object, root: str, mapping: ColumnMap) -> str:
    """Return the name by which a picture is opened; bytes are kept in the folder of caches.

    Args:
        value: a path, bytes, or an object with ``bytes``, or else ``path``, ``image`` or ``url``.
        root: the data folder.
        mapping: folder and endings of paths.

    Raises:
        RefusedError: it is something else.
    """
    if isinstance(value, dict):
        held = (value.get(key) for key in ("bytes", "path", "image", "url"))
        value = next((item for item in held if not empty(item)), value)
    if isinstance(value, bytes):
        return keep(value)
    if not isinstance(value, str):
        raise RefusedError(
            f"its picture is {shown(value)}; write a path, its bytes, or an object with `bytes` or `path`"
        )
    if mapping.picture_folder and "://" not in value:
        value = str(PurePosixPath(mapping.picture_folder, value))
    if mapping.picture_endings and not PurePosixPath(value).suffix:
        tried = [value + ending for ending in mapping.picture_endings]
        value = next((name for name in tried if _is_file(root, name)), tried[0])
    return value


def _is_file(root: str, name: str) -> bool:
    try:
        return os.path.isfile(os.path.join(root, name))
    except ValueError:
        return False
