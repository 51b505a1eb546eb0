"""Files that were made from a ladder, beside it: a new build leaves them as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from observer.data.formats.ladder import COLUMNS, CONTROL, LADDER, MANIFEST, REVIEW

LINES = ("ms_swift",)
"""Trainers that read lines of JSON, which name pictures by their absolute paths."""
TRAINERS = ("trl", "verl", "easy_r1", *LINES)
PAGE, PICTURE = "review.html", "ladder.png"


def export_file(rows: Path, trainer: str) -> Path:
    """Return the file that a ladder's rows are exported to where no other is named.

    >>> export_file(Path("runs/ladder/ladder.jsonl"), "trl").name
    'ladder.trl.parquet'
    """
    return rows.with_suffix(f".{trainer}.{'jsonl' if trainer in LINES else 'parquet'}")


def digests(folder: Path) -> Mapping[str, str]:
    """Return file -> digest as the manifest of a ladder has them; nothing where it cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def outdated(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of files beside a ladder that were made from other rows than it has now.

    Args:
        folder: of the ladder.
        before: its files' digests when it was last finished.
        now: those of the build that is finished.
    """
    made = {REVIEW: [PAGE], COLUMNS: [PICTURE]}
    made |= {rows: [export_file(Path(rows), name).name for name in TRAINERS] for rows in (LADDER, CONTROL)}
    return [
        name
        for source, names in made.items()
        for name in names
        if before.get(source) != now.get(source) and (folder / name).is_file()
    ]
