"""One run, one directory: claiming it, and refusing one that holds another run."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from pathlib import Path

from observer.run.files import remove_unfinished
from observer.types import RefusedError

LOCK = ".lock"
"""A file of every directory that a run has claimed."""
MARKS = ("summary.json", "checkpoints", "completions.jsonl")
"""Files of a run; a directory with any of them is used."""
REPLACED = (
    "config.yaml",
    "before.json",
    "components.jsonl",
    "curve.jsonl",
    "heldout.parquet",
    "heldout_before.parquet",
    "alarms.jsonl",
    "waits.jsonl",
    "environment.json",
    "skipped_rows.jsonl",
    "rows",
    "pictures",
    "export",
)
"""What a run writes besides. In a directory that no run has claimed it is somebody else's."""
_LOCKS: dict[Path, int] = {}
"""Locks that this process holds, until it ends."""


def claim(run_dir: str | Path, resume: bool) -> Path:
    """Claim a directory for a run, before anything is computed.

    Args:
        run_dir: created when it does not exist.
        resume: whether the run in the directory is resumed.

    Raises:
        RefusedError: it is used and not resumed, holds files of somebody else that the run would replace,
            cannot be written, or another process is writing to it.
    """
    if not str(run_dir).strip():
        raise RefusedError("run_dir is empty; name a directory with --run_dir")
    folder = Path(run_dir)
    if os.path.lexists(folder) and not folder.is_dir():
        raise RefusedError(
            f"run_dir {str(run_dir)!r} cannot be written: it is a file; choose another with --run_dir"
        )
    used = [name for name in MARKS if os.path.lexists(folder / name)]
    if used and not resume and not _took_no_step(folder):
        started = any((folder / "checkpoints").glob("*.ckpt"))
        mend = "resume it with --ckpt_path last" if started else "it has no checkpoint yet: remove it"
        raise RefusedError(
            f"run_dir {str(run_dir)!r} holds a run already ({', '.join(used)}); {mend}, or choose "
            f"another with --run_dir"
        )
    others = [name for name in REPLACED if os.path.lexists(folder / name)]
    if others and not used and not (folder / LOCK).exists():
        raise RefusedError(
            f"run_dir {str(run_dir)!r} holds {', '.join(others)}, which no run has written and this one "
            f"would replace; choose another with --run_dir"
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
    """Return whether an earlier process was stopped before it saved anything: nothing is lost."""
    completions = folder / "completions.jsonl"
    if any((folder / "checkpoints").glob("*.ckpt")) or (completions.exists() and completions.stat().st_size):
        return False
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return bool(summary["status"] != "complete" and summary["steps"] == 0)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):  # none of ours
        return False


def lock(folder: Path) -> int | None:
    """Take the lock of a directory. It is held until the process ends, however it does, or closes it.

    Returns:
        The descriptor to close; None where another process holds the lock.

    Raises:
        OSError: the directory is not there or cannot be written.
    """
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _lock(folder: Path) -> None:
    """Keep other processes out of a directory for as long as this one lives, however it ends."""
    path = folder.resolve() / LOCK
    if path in _LOCKS:
        return
    if (descriptor := lock(folder)) is None:
        raise RefusedError(
            f"run_dir {str(folder)!r} is being written to by another process; wait for it, or choose another "
            f"with --run_dir"
        )
    _LOCKS[path] = descriptor
    for place in (folder, folder / "checkpoints", folder / "pictures"):
        remove_unfinished(place, ended=False)
