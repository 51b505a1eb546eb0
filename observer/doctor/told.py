"""How far an examination is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Told:
    """Shows one phase after the other.

    Args:
        console: None shows nothing.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._progress: Progress | None = None
        self.doing = ""
        """The phase that goes on, or went on when it was interrupted."""

    @contextmanager
    def phase(self, doing: str, total: int | None = None) -> Iterator[None]:
        """Show a phase while it lasts.

        Args:
            doing: what is done.
            total: of its rows; None where it is unknown.
        """
        self.doing = doing
        if self._console is None or not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as self._progress:
            self._task = self._progress.add_task(doing, total=total)
            yield
        self._progress = None

    def advance(self, count: int = 1, doing: str | None = None) -> None:
        """Count rows as done; with a text, the phase has another name from now on."""
        self.doing = doing or self.doing
        if self._progress is None:
            return
        task = self._progress.tasks[self._task]
        if doing is not None and doing != task.description:
            self._progress.reset(self._task, description=doing)
        self._progress.advance(self._task, count)
