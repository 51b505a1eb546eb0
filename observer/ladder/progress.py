"""What a build shows while it measures: rows and tokens per second, the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from observer.ladder.chunks import ChunkFolder

LINES = 10
"""Lines per step at most, where there is no terminal to draw a bar on."""


class Shown:
    """A bar per step that measures; without a terminal, a line at every tenth of it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._progress: Progress | None = None

    def begin(self, name: str, chunks: int, left: int) -> None:
        """Show that a step begins.

        Args:
            name: of the step.
            chunks: of this step, all that are this process's.
            left: of them, those that are not finished.
        """
        self._name, self._chunks, self._left = name, chunks, left
        self._done = self._rows = 0
        self._began = time.perf_counter()
        if left < chunks:
            self.say(f"{name}: {chunks - left} of {chunks} chunks are finished already")
        if self._console.is_terminal and left:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
            )
            self._progress = Progress(*columns, console=self._console)
            self._task = self._progress.add_task(name, total=chunks, completed=chunks - left, figures="")
            self._progress.start()

    def chunk(self, rows: int, tokens: int) -> None:
        """Show that a chunk is finished.

        Args:
            rows: of it.
            tokens: drawn by this process in this step so far.
        """
        self._done += 1
        self._rows += rows
        seconds = max(time.perf_counter() - self._began, 1e-9)
        left = seconds / self._done * (self._left - self._done)
        figures = f"{self._rows / seconds:,.1f} rows/s"
        if tokens:
            figures += f", {tokens / seconds:,.0f} tokens/s"
        figures += f", {spoken(left)} left"
        if self._progress is not None:
            self._progress.update(self._task, advance=1, figures=figures)
        elif self._done == self._left or self._done % max(1, self._left // LINES) == 0:
            done = self._chunks - self._left + self._done
            self.say(f"{self._name}: chunk {done} of {self._chunks}, {figures}")

    def end(self) -> None:
        """Leave the bar on the terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def finish(
    name: str,
    chunks: ChunkFolder,
    own: int,
    missing: Sequence[int],
    ask: Callable[[int], int],
    shown: Shown,
    stopped: Callable[[], bool],
) -> None:
    """Finish the chunks that are missing, one after the other.

    Args:
        name: of what is done, for the terminal.
        chunks: the folder of all chunks.
        own: how many of them are this process's.
        missing: those of them that are not finished.
        ask: does one and writes its file; returns the tokens that it has drawn.
        shown: is told of each.
        stopped: whether to stop after the one under way.

    Raises:
        KeyboardInterrupt: it was stopped; what is finished is kept.
    """
    tokens = 0
    shown.begin(name, own, len(missing))
    try:
        for chunk in missing:
            tokens += ask(chunk)
            shown.chunk(len(chunks.range(chunk)), tokens)
            if stopped():
                shown.say(f"{name}: stopped after chunk {chunk}; the same command goes on from here")
                raise KeyboardInterrupt
    finally:
        shown.end()


def spoken(seconds: float) -> str:
    """Return a duration in words.

    >>> spoken(42.3), spoken(600), spoken(7800)
    ('42 s', '10 min', '2 h 10 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
