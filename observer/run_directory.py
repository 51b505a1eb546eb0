"""One run, one directory: claiming it, and writing into it so that nothing half-written is found."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from observer.types import RefusedError

MARKS = ("summary.json", "checkpoints", "completions.jsonl")
"""What a run leaves in its directory; any of them means that the directory is used."""
_LOCKS: dict[Path, int] = {}
"""Locks that this process holds, until it ends."""


def claim(run_dir: str | Path, resume: bool) -> Path:
    """Make sure that a run may write into a directory, before anything is computed.

    Args:
        run_dir: created when it does not exist.
        resume: whether a used directory is wanted.

    Raises:
        RefusedError: it is used and not resumed, cannot be written, or another process is writing to it.
    """
    if not str(run_dir).strip():
        raise RefusedError("run_dir is empty; name a directory with --run_dir")
    folder = Path(run_dir)
    used = [name for name in MARKS if os.path.lexists(folder / name)]
    if used and not resume:
        started = any((folder / "checkpoints").glob("*.ckpt"))
        mend = "resume it with --ckpt_path last" if started else "it has no checkpoint yet: remove it"
        raise RefusedError(
            f"run_dir {str(run_dir)!r} holds a run already ({', '.join(used)}); {mend}, or choose "
            f"another with --run_dir"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _lock(folder)
    except OSError as error:
        raise RefusedError(
            f"run_dir {str(run_dir)!r} cannot be written: {error}; choose another with --run_dir"
        ) from error
    return folder


def _lock(folder: Path) -> None:
    """Keep other processes out of a directory for as long as this one lives, however it ends."""
    path = folder.resolve() / ".lock"
    if path in _LOCKS:
        return
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RefusedError(
            f"run_dir {str(folder)!r} is being written to by another process; wait for it, or choose another "
            f"with --run_dir"
        ) from error
    _LOCKS[path] = descriptor


@contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file in one go: a reader finds the old one, if there was one, or the new one.

    Its folder is made. What ends the writing early leaves things as they were.

    Args:
        path: of the file.
        mode: ``w`` for text in UTF-8, ``wb`` for bytes.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with beside.open(mode, encoding="utf-8" if mode == "w" else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Replace a JSON file in one go."""
    with whole_file(path) as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder by one that ``fill`` has filled; half a folder is never found under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        fill(beside)
        beside.chmod(0o755)
        if path.exists():
            path.rename(old := beside.with_name(f"{beside.name}.old"))
            beside.rename(path)
            shutil.rmtree(old)
        else:
            beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
