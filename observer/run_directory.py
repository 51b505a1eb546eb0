"""One run, one directory: claiming it, and writing into it so that nothing half-written is found."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
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
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""Names of what is not written to its end yet, with the process that writes it; see ``temporary_name``."""
_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}
"""What a disk says: full, over the quota, a file too large, broken, made read-only, gone."""


class WriteError(OSError):
    """The disk does not take a file: says which, and why. What was there before is as it was."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that is written inside when the disk is full or fails.

    Raises:
        WriteError: in place of what the system says of that, or of what a library has made of it.
    """
    try:
        yield
    except (WriteError, RefusedError):
        raise
    except Exception as error:
        if (code := _fault(error)) is None:
            raise
        raise WriteError(f"{path} cannot be written: {os.strerror(code)}") from error


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what led to it, each once.

    There may be a circle: TensorBoard keeps what its thread has raised, and raises it again while that is
    being handled.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _fault(error: BaseException) -> int | None:
    """Return the number of the disk's fault that an exception came of, if it came of one."""
    for cause in causes(error):
        code = cause.errno if isinstance(cause, OSError) else None
        if found := re.search(r"\(os error (\d+)\)", str(cause)):  # as libraries written in Rust say it
            code = int(found[1])
        if code in _FAULTS:
            return code
    return None


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
    if used and not resume and not _took_no_step(folder):
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


def _took_no_step(folder: Path) -> bool:
    """Tell whether an earlier process was stopped before it had saved anything: there is nothing to lose."""
    completions = folder / "completions.jsonl"
    if any((folder / "checkpoints").glob("*.ckpt")) or (completions.exists() and completions.stat().st_size):
        return False
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return summary["status"] != "complete" and summary["steps"] == 0
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):  # none of ours
        return False


def _remove_unfinished(folder: Path) -> None:
    """Remove what killed processes were writing. Only while nobody else can be writing there."""
    for path in [*folder.glob(".*.tmp"), *folder.glob("checkpoints/.*.tmp")]:
        if TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


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
    _remove_unfinished(folder)


def temporary_name(path: Path) -> Path:
    """Return the name beside a path under which this process writes what will be there."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file in one go: a reader finds the old one, if there was one, or the new one.

    Its folder is made. What ends the writing early leaves things as they were.

    Args:
        path: of the file.
        mode: ``w`` for text in UTF-8, ``wb`` for bytes.

    Raises:
        WriteError: it cannot be written.
    """
    beside = temporary_name(path)
    with writing(path):
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
    """Replace a folder by one that ``fill`` has filled; half a folder is never found under its name.

    Raises:
        WriteError: it cannot be written.
    """
    beside, old = temporary_name(path), temporary_name(path.with_name(f"{path.name}.old"))
    with writing(path):
        for left in (beside, old):  # by a killed process of the same number, as containers give them
            shutil.rmtree(left, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            fill(beside)
            beside.chmod(0o755)
            if path.exists():
                path.rename(old)
                beside.rename(path)
                shutil.rmtree(old)
            else:
                beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
