"""Runs a grid: each run a process, several at once; what is done is skipped, what was cut off is resumed."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from observer.ablation.grid import Grid, Run
from observer.ablation.process import RunProcess, environment, log_refusal
from observer.ablation.state import has_checkpoint, state_of
from observer.ablation.table import DONE, FAILED, RUNNING, STOPPED, WAITING, Board
from observer.run.locks import is_held

_PAUSE = 0.1
"""Seconds from one look at the processes to the next."""
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STOPPING = "letting each run finish its step and save; press Ctrl-C again to kill them"


class Runner:
    """Runs what is left of a grid.

    The first SIGINT, SIGTERM or SIGHUP is passed on: each process finishes its step, saves and ends. The
    second kills them. A run that fails is reported, and the others run.

    Args:
        grid: for the table.
        runs: of the grid, in the order in which they are started.
        jobs: processes at once.
        board: that shows them.
        refused: variant -> why its options are refused; its runs are not started.
    """

    def __init__(
        self,
        grid: Grid,
        runs: Sequence[Run],
        jobs: int,
        board: Board,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self._grid, self._jobs, self._board = grid, jobs, board
        self.failed: dict[str, str] = {}
        """Name of a run -> why it failed."""
        self.stopped: int = 0
        """The signal that the runner stops for."""
        self._killed = False
        self._queue: list[Run] = []
        self._waits: set[str] = set()
        self._active: dict[str, tuple[Run, RunProcess]] = {}
        self._environment = environment(jobs)
        self._refused = dict(refused or {})
        self._all = list(runs)

    def run(self) -> int:
        """Run all that is left.

        Returns:
            The exit code: 0 if every run is complete, 1 if one has failed, 128 and the signal if stopped.
        """
        before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
        for signum, handler in before.items():
            if (
                handler != signal.SIG_IGN or signum == signal.SIGINT
            ):  # nohup lets a runner outlive its terminal
                signal.signal(signum, self._receive)
        try:
            with self._board:
                self._sort()
                while self._active or (self._queue and not self.stopped):
                    self._look()
                    self._start()
                    self._board.draw()
                    if self._active or self._queue:
                        time.sleep(_PAUSE)
        finally:
            for _, process in self._active.values():  # something went wrong here
                process.stop()
            for signum, handler in before.items():
                signal.signal(signum, handler)
        return self._end()

    def _receive(self, signum: int, frame: FrameType | None) -> Any:
        """Pass a signal on; the loop does it, as a handler may interrupt anything."""
        self._killed = self.stopped != 0
        self.stopped = self.stopped or signum
        self._pass_on()

    def _pass_on(self) -> None:
        for _, process in self._active.values():
            process.kill() if self._killed else process.stop()

    def _sort(self) -> None:
        """Tell what is done from what is left."""
        for run in self._all:
            state = state_of(run.folder)
            if state.complete:
                self._board.show(run, DONE, state)
            elif (why := self._refused.get(run.variant)) is not None:
                with suppress(OSError):  # no room: it is said on the terminal
                    log_refusal(run.words, run.log, why)
                self._fail(run, why)
            else:
                self._queue.append(run)
                self._board.show(run, STOPPED if state.steps else WAITING, state)
        done = len(self._all) - len(self._queue) - len(self.failed)
        self._board.say(
            f"{self._grid.name}: {len(self._all)} runs, {done} done, {len(self._queue)} to run, "
            f"{self._jobs} at once"
        )

    def _start(self) -> None:
        """Fill the places that are free."""
        for run in list(self._queue):
            if self.stopped or len(self._active) >= self._jobs:
                return
            if is_held(run.folder):
                if run.name not in self._waits:
                    self._waits.add(run.name)
                    self._board.say(
                        f"{run.name}: another process still writes to {run.folder}; waiting for it"
                    )
                continue
            self._queue.remove(run)
            state = state_of(run.folder)
            if state.complete:  # by the process that was waited for
                self._board.show(run, DONE, state, "done by another process")
                continue
            resumed = has_checkpoint(run.folder)
            words = [*run.words, *(["--ckpt_path", "last"] if resumed else [])]
            try:
                process = RunProcess(words, run.log, self._environment)
            except OSError as error:  # no room for a process, or for its log
                self._fail(run, f"cannot be started: {error}")
                continue
            self._active[run.name] = (run, process)
            self._board.show(run, RUNNING, state, f"resumed at step {state.steps}" if resumed else "started")
            if self.stopped:  # by a signal that came before the process was among the active ones
                self._pass_on()

    def _look(self) -> None:
        """See how far the processes are, and which have ended."""
        if self.stopped and STOPPING not in self._waits:
            self._waits.add(STOPPING)
            self._board.say(STOPPING)
        for name, (run, process) in list(self._active.items()):
            code, state = process.ended(), state_of(run.folder)
            if code is None:
                self._board.show(run, RUNNING, state)
                continue
            del self._active[name]
            if code == 0 and state.complete:
                figure = "" if state.accuracy is None else f", accuracy {state.accuracy:.3f}"
                left = len(self._queue) + len(self._active)
                self._board.show(run, DONE, state, f"done{figure}; {left} left")
            elif self.stopped:
                self._board.show(run, STOPPED, state, f"stopped after step {state.steps}")
            elif code == 0:
                self._fail(run, f"ended as {state.status or 'no run'}, not complete; see {process.log}")
            else:
                self._fail(run, f"{process.why(code)}; see {process.log}")

    def _fail(self, run: Run, why: str) -> None:
        self.failed[run.name] = why
        self._board.show(run, FAILED, state_of(run.folder), f"failed: {why}")

    def _end(self) -> int:
        """Say what is left, and return the exit code."""
        for name, why in self.failed.items():
            self._board.say(f"failed: {name}: {why}")
        left = [run for run in self._all if not state_of(run.folder).complete]
        if left:
            self._board.say(
                f"{len(left)} of {len(self._all)} runs are not complete; the same command goes on with them"
            )
        if self.stopped:
            return 128 + self.stopped
        return 1 if self.failed else 0
