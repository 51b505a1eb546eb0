"""Wall-clock seconds by named stage of a step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by stage; what no stage accounts for between two laps is ``other``.

    On a GPU a stage ends when its results are read, so queued work is charged to the stage that waits for it.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lap = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Charge what happens inside to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - begin

    def restart(self) -> None:
        """Forget the time since the last lap: it belongs to no step (validation, or waiting to begin)."""
        self._seconds.clear()
        self._lap = time.perf_counter()

    def lap(self) -> dict[str, float]:
        """Return the seconds by stage since the last lap, with ``other`` and ``step`` (all of it)."""
        now = time.perf_counter()
        seconds = dict(self._seconds)
        step = now - self._lap
        seconds["other"] = step - sum(seconds.values())
        seconds["step"] = step
        self._seconds.clear()
        self._lap = now
        return seconds
