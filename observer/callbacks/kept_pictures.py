"""Keeps the pictures of completions that are kept: shrunk, each once, under the digest of its content."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from observer.pages.marked_text import shorten
from observer.pages.pictures import NOTE_BUDGET, encoded
from observer.run.files import temporary_name
from observer.run.waiting import waiting
from observer.types import Picture, RefusedError

FOLDER = "pictures"
SIDE = 448
"""Pixels of the longer side of a picture that is kept, unless an option says otherwise."""


def keep_picture(picture: Picture, run_dir: Path, side: int) -> dict[str, Any]:
    """Write a picture into a run, if it is not there, and return what a record says of it.

    Its name is the digest of its content: a run that goes on and takes a step again finds the file of before.
    Killed at any moment, it is whole or not there.

    Args:
        picture: of a problem.
        run_dir: the directory of the run.
        side: pixels that its longer side has at most; it is shrunk to it.

    Returns:
        ``file``, relative to the run, and ``size``, its own width and height; or ``fault``, why it cannot be
        read.

    Raises:
        OSError: it cannot be written.
    """
    try:
        image = picture.load()
    except RefusedError as error:  # gone since its row was read: no reason to end a run
        return {"fault": shorten(f"{error}", NOTE_BUDGET)}
    kind, content = encoded(image, side)
    name = f"{FOLDER}/{sha256(content).hexdigest()[:20]}.{kind}"
    _write(run_dir / name, content)
    return {"file": name, "size": list(image.size)}


def _write(path: Path, content: bytes) -> None:
    """Write a file, unless it is there: after a power cut it may be there and empty."""
    if path.is_file() and path.stat().st_size == len(content):
        return
    beside = temporary_name(path)
    with waiting("a file is written", lambda: str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
