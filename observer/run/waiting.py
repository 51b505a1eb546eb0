"""Says what a run waits for once that takes long: ``with waiting("the engine starts"): ..``.

A thread of the process looks at what is waited for, ten times in ``after`` seconds. What takes longer is
named on standard error and in a file of the run: after that time, again whenever it has doubled, and when it
is over. What is fast costs a microsecond and says nothing. It knows nothing of engines, verifiers or ranks.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

AFTER = 60.0
"""Seconds after which a wait is named, unless a run says otherwise."""
LOOKS = 10
"""How often the thread looks within that time."""
FILE = "waits.jsonl"
FILE_SECONDS = 5.0
"""How long the thread waits for the run's file: the disk may be the very thing that hangs."""
LONGEST_LINE = 1000


class Wait:
    """Something that is being waited for in one thread; a context manager. See ``waiting``."""

    __slots__ = ("begin", "detail", "ended", "error", "next", "outer", "text", "what", "while_waiting")

    def __init__(
        self, what: str, detail: str | Callable[[], str], while_waiting: Callable[[], None] | None
    ) -> None:
        self.what, self.detail, self.while_waiting = what, detail, while_waiting
        self.begin = 0.0
        self.ended: float | None = None
        self.error = ""
        self.next: float | None = None
        """Seconds after which it is named next; None before it was named."""
        self.text = what
        """What it was named by last."""
        self.outer: Wait | None = None

    def __enter__(self) -> Wait:
        thread = threading.get_ident()
        self.outer = WATCH.innermost.get(thread)
        self.begin = WATCH.clock()
        WATCH.innermost[thread] = self
        WATCH.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.error = "" if kind is None else f", by {kind.__name__}"
        self.ended = WATCH.clock()
        thread = threading.get_ident()
        last = WATCH.innermost.get(thread)
        while last is not None and last.ended is not None:  # generators may leave theirs in another order
            last = last.outer
        if last is None:
            WATCH.innermost.pop(thread, None)
        else:
            WATCH.innermost[thread] = last
        if self.next is not None:
            WATCH.wake()

    def described(self) -> str:
        """Return what is waited for, and which one."""
        try:
            detail = self.detail() if callable(self.detail) else self.detail
        except Exception as error:  # what is asked may be changing meanwhile
            detail = f"more is not known: {type(error).__name__}"
        text = f"{self.what} ({detail})" if detail else self.what
        self.text = "".join(mark if mark.isprintable() else " " for mark in text[:LONGEST_LINE])
        return self.text

    def chain(self) -> Iterator[Wait]:
        """Yield it and those around it, if they still last."""
        wait: Wait | None = self
        while wait is not None:
            if wait.ended is None:
                yield wait
            wait = wait.outer


def waiting(
    what: str, detail: str | Callable[[], str] = "", while_waiting: Callable[[], None] | None = None
) -> Wait:
    """Return a context in which something is waited for; it is named if it takes long.

    What has once come to its end in t seconds is named anew from 2 t on, so that a run whose every step is
    slow does not say so at every step.

    Args:
        what: as a noun or a short sentence, without anything that changes from one time to the next.
        detail: which one. A function is called by another thread, and only when the wait is named.
        while_waiting: called by that thread at each look but the first.
    """
    return Wait(what, detail, while_waiting)


class Watch:
    """The waits of this process, and the thread that looks at them.

    It takes no lock that a waiting thread could meet: signals, forks and hanging files come at any moment.
    """

    def __init__(self, after: float | None = AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        self.after = after
        self.folder: Path | None = None
        self.clock = clock
        self.innermost: dict[int, Wait] = {}
        """The innermost wait of each thread."""
        self.reset()

    def reset(self) -> None:
        """Forget all waits, and the thread, which a forked process does not have."""
        self.innermost.clear()
        self._named: list[Wait] = []
        self._longest: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._awake = threading.Event()
        self._over = False

    def start(self) -> None:
        """Start the thread, if there is none and it would have something to do."""
        if self._thread is None and self.after is not None and not self._over:
            self._thread = threading.Thread(target=self._run, name="waits", daemon=True)
            with suppress(RuntimeError):  # the process is ending, or may have no more threads
                self._thread.start()

    def wake(self) -> None:
        """Let the thread look at once."""
        self._awake.set()

    def end(self) -> None:
        """End the thread, after a last look."""
        self._over = True
        if self._thread is not None and self._thread.is_alive():
            self.wake()
            self._thread.join(FILE_SECONDS)

    def _run(self) -> None:
        while not self._over:
            self._awake.wait(None if self.after is None else self.after / LOOKS)
            self._awake.clear()
            self.look()

    def look(self) -> None:
        """Name what has taken too long, and what of it is over."""
        now = self.clock()
        for innermost in list(self.innermost.values()):
            chain, late = list(innermost.chain()), False
            for wait in chain:
                late |= self._is_late(wait, now)
            if late:
                self._name(chain, now)
        for wait in [wait for wait in self._named if wait.ended is not None]:
            assert wait.ended is not None
            self._named.remove(wait)
            seconds = wait.ended - wait.begin
            self._longest[wait.what] = max(self._longest.get(wait.what, 0.0), seconds)
            self._say(
                f"over after {seconds:.0f} s{wait.error}: {wait.text}",
                {"over": wait.text, "seconds": seconds},
            )

    def _is_late(self, wait: Wait, now: float) -> bool:
        """Return whether a wait is to be named now, and note when it is to be named again."""
        seconds = now - wait.begin
        if self.after is None:
            return False
        if wait.while_waiting is not None and seconds >= self.after / LOOKS:
            with suppress(Exception):  # it only helps to say more
                wait.while_waiting()
        limit = wait.next or max(self.after, 2 * self._longest.get(wait.what, 0.0))
        if seconds < limit:
            return False
        if wait.next is None:
            self._named.append(wait)
        while limit <= seconds:
            limit *= 2
        wait.next = limit
        return True

    def _name(self, chain: list[Wait], now: float) -> None:
        named = [(wait.described(), now - wait.begin) for wait in chain]
        since = datetime.now().astimezone() - timedelta(seconds=named[0][1])
        what = ", in ".join([named[0][0], *(f"{text} ({seconds:.0f} s)" for text, seconds in named[1:])])
        self._say(
            f"waiting for {named[0][1]:.0f} s, since {since:%H:%M:%S}: {what}",
            {"waiting": named[0][0], "seconds": named[0][1], "within": [text for text, _ in named[1:]]},
        )

    def _say(self, text: str, record: Mapping[str, Any]) -> None:
        rank = _rank()
        _print(f"observer: {text}" if rank is None else f"observer: rank {rank}: {text}")
        if self.folder is not None:
            at = datetime.now().astimezone().isoformat(timespec="seconds")
            line = {"at": at, "rank": rank or 0, **record, "seconds": round(record["seconds"], 1)}
            writer = threading.Thread(target=_append, args=(self.folder / FILE, line), daemon=True)
            with suppress(RuntimeError):
                writer.start()
                writer.join(FILE_SECONDS)


def set_waits(after: float | None, folder: Path | None) -> None:
    """Say from when on waits of this process are named, and where besides standard error.

    Args:
        after: seconds, > 0; None for never.
        folder: of the run, which gets a ``waits.jsonl`` once there is a wait to name; None for no file.
    """
    WATCH.after, WATCH.folder = after, folder
    WATCH.wake()


def _rank() -> int | None:
    """Return the rank of this process; None where there is one process alone."""
    exchange = sys.modules.get("torch.distributed")  # who has not imported it has no ranks
    if exchange is not None and exchange.is_available() and exchange.is_initialized():
        return exchange.get_rank() if exchange.get_world_size() > 1 else None
    rank, ranks = started_as()  # before the ranks have met
    return rank if ranks > 1 else None


def started_as() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks, as whoever started it has said."""
    told = os.environ
    if "WORLD_SIZE" not in told and "SLURM_STEP_ID" in told:  # srun tells no other names
        return int(told.get("SLURM_PROCID", "0")), int(told.get("SLURM_NTASKS", "1"))
    return int(told.get("RANK", told.get("LOCAL_RANK", "0"))), int(told.get("WORLD_SIZE", "1"))


def _print(line: str) -> None:
    """Print a line on standard error, above the bars that are drawn there."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):  # nobody reads it, or it is closed
        # Rich replaces sys.stderr while it draws a bar; tqdm must be asked to move its own.
        if (bars := sys.modules.get("tqdm")) is not None:
            bars.tqdm.write(line, file=sys.stderr)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with suppress(OSError), path.open("ab", buffering=0) as file:  # it was printed anyhow
        file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


WATCH = Watch()
"""Of this process."""
os.register_at_fork(after_in_child=lambda: WATCH.reset())
atexit.register(lambda: WATCH.end())
