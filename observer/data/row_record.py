"""The record of a run's rows: their fingerprints in its directory, and how other rows differ from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from observer.data.fingerprints import digest
from observer.data.rows import Rows
from observer.run.files import whole_file

FOLDER = "rows"
"""Where fingerprints are, below the run directory."""


class RowRecord:
    """Fingerprints of a run's rows, by split: their digests, the files that hold them, what has changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Rows, np.ndarray, str]] = {}

    def digests(self, rows: Mapping[str, Rows]) -> dict[str, str]:
        """Return the digest of each split."""
        return {split: self._of(split, rows[split])[1] for split in _recorded(rows)}

    def write(self, rows: Mapping[str, Rows], folder: Path) -> None:
        """Write the fingerprints of each split to a file that its digest names, where there is none yet.

        Args:
            rows: of each split.
            folder: the run directory.

        Raises:
            WriteError: they cannot be written.
        """
        for split in _recorded(rows):
            fingerprints_R, named = self._of(split, rows[split])
            path = _file(folder, split, named)
            if not path.is_file():
                with whole_file(path, "wb") as file:
                    np.save(file, fingerprints_R)

    def changes(
        self, rows: Mapping[str, Rows], saved: Mapping[str, str], folders: Sequence[Path]
    ) -> dict[str, str]:
        """Return split -> how its rows differ from a checkpoint's, a sentence; without splits that do not.

        Args:
            rows: of each split.
            saved: the digests that the checkpoint holds.
            folders: run directories that may hold the fingerprints themselves.
        """
        if not isinstance(saved, Mapping) or (saved and "train" not in saved):
            raise ValueError(f"fingerprints is {repr(saved)[:80]}")
        changes = {}
        for split in _recorded(rows):
            now_R, named = self._of(split, rows[split])
            if split in saved and saved[split] != named:
                changes[split] = _change(split, rows[split], now_R, saved[split], folders)
        return changes

    def _of(self, split: str, rows: Rows) -> tuple[np.ndarray, str]:
        if split not in self._known or self._known[split][0] is not rows:
            fingerprints_R = rows.fingerprints()
            self._known[split] = rows, fingerprints_R, digest(fingerprints_R)
        return self._known[split][1:]


def _recorded(rows: Mapping[str, Rows]) -> list[str]:
    """Return the splits that a run depends on: rows that are only predicted are not among them."""
    return [split for split in rows if split != "predict"]


def _file(folder: Path, split: str, named: str) -> Path:
    if not re.fullmatch("[0-9a-f]{32}", named):
        raise ValueError(f"{named!r} is no digest")
    return folder / FOLDER / f"{split}-{named}.npy"


def _change(split: str, rows: Rows, now_R: np.ndarray, saved: str, folders: Sequence[Path]) -> str:
    files = [_file(folder, split, saved) for folder in folders]
    before_R = next((held for file in files if (held := _read(file, saved)) is not None), None)
    if before_R is None:
        where = f", as {files[0]} does not hold them" if files else ""
        return f"data.{split} holds other rows than the checkpoint was made with (which is not known{where})"
    if np.array_equal(np.sort(before_R), np.sort(now_R)):
        return f"data.{split} holds the checkpoint's {len(now_R)} rows in another order"
    both, most = sorted((len(before_R), len(now_R)))
    other = np.flatnonzero(before_R[:both] != now_R[:both])
    first = int(other[0]) if len(other) else both
    named = "is gone"
    if first < len(rows):
        named = f"is now {rows[first].id!r} of {rows[first].source}"
    return (
        f"data.{split} holds other rows than the checkpoint was made with: {len(other) + most - both} of "
        f"{most} differ in question, answer, pictures (or how they are checked) or metadata, the first is "
        f"row {first}, which {named}"
    )


def _read(file: Path, saved: str) -> np.ndarray | None:
    """Return fingerprints; None where the file is not there or holds something else."""
    try:
        held: np.ndarray = np.load(file, allow_pickle=False)
        return held if held.dtype == np.uint64 and held.ndim == 1 and digest(held) == saved else None
    except (OSError, ValueError, EOFError):
        return None
