"""The figures of a ladder, from its parquet file and its manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from observer.curriculum.index import RUNGS
from observer.data.formats.ladder import COLUMNS, MANIFEST
from observer.types import RefusedError

WIDE = 0.5
"""An interval of the difficulty at least as wide says little: half of the scale."""
SOURCES = 12
"""Sources that are shown by name, those with most rows; the others are one."""


@dataclass(frozen=True, eq=False)
class Figures:
    """What is shown of a ladder. L: its nine levels."""

    manifest: dict[str, Any]
    counts_L: np.ndarray
    """Rows of each level."""
    complexity_L: np.ndarray
    """Their mean complexity in tokens; nan without rows."""
    wide_L: np.ndarray
    """Rows of each level whose difficulty has a wide interval."""
    mixing_L_L: np.ndarray | None
    """Slot x level -> share of the slot's rows; None for a ladder that is not mixed."""
    sources: dict[str, np.ndarray]
    """Source -> its rows by level."""


def read_figures(folder: Path) -> Figures:
    """Read the figures of a ladder.

    Args:
        folder: that a build has finished.

    Raises:
        RefusedError: it holds no ladder, or one without a difficulty.
    """
    path = folder / MANIFEST
    if not path.is_file() or not (folder / COLUMNS).is_file():
        unfinished = " (its build is not finished)" if (folder / "work").is_dir() else ""
        raise RefusedError(
            f"--output {folder} holds no ladder{unfinished}; name the folder of observer ladder build"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        names = pq.read_schema(folder / COLUMNS).names
        wanted = ["difficulty", "complexity", "difficulty_low", "difficulty_high", "slot", "source"]
        table = pq.read_table(folder / COLUMNS, columns=[name for name in wanted if name in names])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RefusedError(f"--output {folder} cannot be read ({error}); build the ladder again") from error
    if "difficulty" not in names:
        raise RefusedError(f"--output {folder}: its rows have no difficulty; build it with the step Measure")
    difficulty_N = _column(table, "difficulty")
    level_N = np.rint(difficulty_N * (RUNGS - 1)).astype(np.int64)
    counts_L = np.bincount(level_N, minlength=RUNGS)
    with np.errstate(invalid="ignore"):
        complexity_L = np.bincount(level_N, _column(table, "complexity"), RUNGS) / counts_L
    wide_N = _column(table, "difficulty_high") - _column(table, "difficulty_low") >= WIDE
    mixing = None
    if "slot" in names:
        mixing = np.zeros((RUNGS, RUNGS))
        np.add.at(mixing, (_column(table, "slot").astype(np.int64), level_N), 1)
        mixing /= np.maximum(mixing.sum(1, keepdims=True), 1)
    return Figures(
        manifest,
        counts_L,
        complexity_L,
        np.bincount(level_N[wide_N], minlength=RUNGS),
        mixing,
        _by_source(table["source"].combine_chunks(), level_N),
    )


def _column(table: pa.Table, name: str) -> np.ndarray:
    parts = [np.from_dlpack(chunk) for chunk in table[name].chunks if len(chunk)]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _by_source(column: pa.Array, level_N: np.ndarray) -> dict[str, np.ndarray]:
    coded = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
    names, code_N = coded.dictionary.to_pylist(), np.from_dlpack(coded.indices).astype(np.int64)
    counts = np.zeros((len(names), RUNGS), np.int64)
    np.add.at(counts, (code_N, level_N), 1)
    order = sorted(range(len(names)), key=lambda place: (-int(counts[place].sum()), names[place]))
    found = {names[place]: counts[place] for place in order[:SOURCES]}
    if len(order) > SOURCES:
        found[f"{len(order) - SOURCES} others"] = counts[order[SOURCES:]].sum(0)
    return found
