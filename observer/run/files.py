"""Files that are whole or absent, and errors of a full or failing disk."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Literal

from observer.run.waiting import waiting
from observer.types import RefusedError

_TEMPORARY = re.compile(r"\.(?P<target>.+)\.observer-(?P<process>\d+)-(?P<start>[0-9a-f]{8})-\d+\.tmp")
"""Names of unfinished files: target, process, start of the process, number; see ``temporary_name``."""
_START = secrets.token_hex(4)
"""Tells this process from an earlier one of the same number, as containers give them."""
_NUMBERS = count()
_REPLACING = threading.Lock()
"""Held while a folder takes the place of another: two threads may write the same one."""
_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}
"""Faults of a disk: full, over the quota, a file too large, broken, read-only, gone."""


class WriteError(OSError):
    """A file cannot be written: names it, and why. What was there before is as it was."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that is written inside when the disk is full or fails.

    Raises:
        WriteError: in place of the system's error, or of a library's that wraps it.
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


def temporary_name(path: Path) -> Path:
    """Return a name beside a path under which it is written, another one with each call."""
    return path.with_name(f".{path.name}.observer-{os.getpid()}-{_START}-{next(_NUMBERS)}.tmp")


def remove_unfinished(folder: Path, target: str | None = None, ended: bool = True) -> None:
    """Remove what killed processes have left unfinished in a folder, and nothing that others have written.

    Args:
        folder: an existing folder.
        target: name of the file or folder that was being written; None for all.
        ended: leave what processes of this machine that still run may be writing. Where the folder is locked,
            none does.
    """
    for path in folder.glob(".*.tmp"):
        name = _TEMPORARY.fullmatch(path.name)
        if name is None or target not in (None, name["target"]):
            continue
        if ended and _runs(int(name["process"]), name["start"]):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # another user's, in a folder that both may write to
                path.unlink()


def _runs(process: int, start: str) -> bool:
    if process == os.getpid():
        return start == _START
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # there, and another user's; or a number that no process has
        return True
    return True


@contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file in one go: a reader finds the old one, if there was one, or the new one.

    Its folder is made. An error or a kill leaves the old file as it was.

    Args:
        path: of the file.
        mode: ``w`` for text in UTF-8, ``wb`` for bytes.

    Raises:
        WriteError: it cannot be written.
    """
    beside = temporary_name(path)
    with waiting("a file is written", lambda: str(path)), writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open(mode, encoding="utf-8" if mode == "w" else None) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_file(path: Path, target: Path) -> bool:
    """Give a file a second name, in place of a file that has it; return False where there are no hard links.

    Both names stand for one file from now on: it may be replaced under either of them, never changed.
    """
    temporary = temporary_name(target)
    try:
        os.link(path, temporary)
    except OSError:
        return False
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # it is still there where the target was this very file already
    return True


def refuse_output(output: str | Path, replaced: bool = False, option: str = "--output") -> None:
    """Refuse the place of an output, before anything is computed for it.

    Args:
        output: the file or folder to write.
        replaced: whether a file that is there is replaced.
        option: that names it.

    Raises:
        RefusedError: it has no name, is there already, or cannot be made where it is to be.
    """
    path = Path(output)
    if not path.name:
        raise RefusedError(f"{option} {str(output)!r} names no file; name the one to write")
    if os.path.lexists(path) and (path.is_dir() or not replaced):
        raise RefusedError(f"{option} {output} exists; name a file that does not")
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise RefusedError(
            f"{option} {output} cannot be written: {folder} is no directory; name a file in one"
        )
    if not os.access(folder, os.W_OK):
        raise RefusedError(
            f"{option} {output} cannot be written: {folder} is not yours to write to; name a file elsewhere"
        )


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Replace a JSON file in one go."""
    with whole_file(path) as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder by one that ``fill`` has filled; half a folder is never found under its name.

    What a killed process has left of an earlier attempt goes.

    Raises:
        WriteError: it cannot be written.
    """
    beside, old = temporary_name(path), temporary_name(path.with_name(f"{path.name}.old"))
    with waiting("a folder is written", lambda: str(path)), writing(path):
        beside.mkdir(parents=True)
        try:
            for target in (path.name, f"{path.name}.old"):
                remove_unfinished(path.parent, target)
            fill(beside)
            beside.chmod(0o755)
            with _REPLACING:
                if path.exists():
                    path.rename(old)
                beside.rename(path)
            if old.exists():
                shutil.rmtree(old)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
