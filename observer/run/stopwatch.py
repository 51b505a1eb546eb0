"""Wall-clock seconds of a step, by name: ``with clock("render"): ...``."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by name; time between two laps that has no name is ``other``.

    On a GPU, queued work is charged to the name under which its results are read.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lap = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Charge the time inside to a name."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def restart(self) -> None:
        """Forget the time since the last lap: it belongs to no step (validation, or waiting to begin)."""
        self._seconds.clear()
        self._lap = time.perf_counter()

    def lap(self) -> dict[str, float]:
        """Return the seconds by name since the last lap, with ``other`` and ``step`` (all of it)."""
        now = time.perf_counter()
        seconds = dict(self._seconds)
        step = now - self._lap
        seconds["other"] = step - sum(seconds.values())
        seconds["step"] = step
        self._seconds.clear()
        self._lap = now
        return seconds
