"""What a build step decides: which rows stay, in which order, and why the others go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Selection:
    """What a step decides."""

    rows_N: np.ndarray
    """The rows that stay, by their number in the input, in their order from now on."""
    removed: Iterable[tuple[int, str]] = ()
    """Each row that goes, and why; read once, so that the reasons need not be in memory."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """New columns of the rows that stay, each (N,); one that is known is replaced."""
    corrected: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Row -> measured values that are others with its corrected gold answer, whether it stays or not."""
    review: Iterable[tuple[int, str]] = ()
    """Rows that a person should look at, the most urgent first, and why; read once."""
