"""What a runner shows: a table that fills on a terminal, a line for each event elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from observer.ablation.grid import Grid, Run
from observer.ablation.state import State

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "cut off"
_STYLES = {WAITING: "dim", RUNNING: "cyan", DONE: "green", FAILED: "red", STOPPED: "yellow"}


class Board:
    """The runs of a grid, variant by seed.

    Args:
        grid: its variants are rows, its seeds columns.
        console: to draw on; None for the standard output.
    """

    def __init__(self, grid: Grid, console: Console | None = None) -> None:
        self._grid, self._console = grid, console or Console()
        self._cells: dict[tuple[str, int], tuple[str, str]] = {}
        self._changed = True
        # It is drawn by the loop of the runner: a thread would be a danger for the processes that it forks.
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Board:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Leave the finished table on the terminal."""
        if self._live is not None:
            self._live.update(self.table(), refresh=True)
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line, above the table if there is one."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def show(self, run: Run, word: str, state: State, told: str = "") -> None:
        """Show a run.

        Args:
            run: of the grid.
            word: what becomes of it.
            state: how far it is.
            told: what is said of it where there is no table; empty for nothing.
        """
        total = "" if state.planned is None else f"/{state.planned}"
        text = word
        if word == RUNNING:
            text = f"{state.steps}{total}"
        elif word == DONE:
            text = DONE if state.accuracy is None else f"{state.accuracy:.3f}"
        elif word == STOPPED:
            text = f"{STOPPED} {state.steps}{total}"
        self._changed |= self._cells.get((run.variant, run.seed)) != (word, text)
        self._cells[run.variant, run.seed] = (word, text)
        if told and (self._live is None or word == FAILED):
            self.say(f"{run.name}: {told}")

    def draw(self) -> None:
        """Draw the table anew, where there is one and it has changed."""
        if self._live is not None and self._changed:
            self._changed = False
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """Return the table: steps of those that run, accuracy of those that are done."""
        words = [word for word, _ in self._cells.values()]
        counts = [f"{words.count(word)} {word}" for word in _STYLES if word in words]
        drawn = Table(title=f"{self._grid.name}: {', '.join(counts)}")
        drawn.add_column("variant")
        for seed in self._grid.seeds:
            drawn.add_column(f"seed {seed}", justify="right")
        for variant in self._grid.variants:
            cells = [self._cells.get((variant, seed), (WAITING, WAITING)) for seed in self._grid.seeds]
            drawn.add_row(variant, *(f"[{_STYLES[word]}]{text}[/]" for word, text in cells))
        return drawn
