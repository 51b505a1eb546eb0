"""The process of one run: how it is started, how it is stopped, and why it ended."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

PROGRAM = (sys.executable, "-m", "observer")
THREADS = "OMP_NUM_THREADS"
_PR_SET_PDEATHSIG = 1
_LAST = 1 << 15
"""Bytes that are read of the end of a log, for the line that says why a run failed."""
MEMORY = "as happens when memory runs out: try fewer --jobs"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(jobs: int) -> dict[str, str]:
    """Return the environment of a process, so that several at once do not fight for the cores.

    Args:
        jobs: processes at once.
    """
    given = dict(os.environ)
    given.setdefault(THREADS, str(max(1, cores() // jobs)))
    return given


def _dies_with_its_parent(parent: int) -> Callable[[], None] | None:
    """Return what a new process does first, so that it is stopped when its parent is killed; Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # found before the process forks

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # killed before it could be asked for
            os._exit(128 + signal.SIGTERM)

    return ask


class RunProcess:
    """A process of ``observer fit`` in a session of its own.

    A Ctrl-C of the terminal does not reach it, only what its runner passes on; when the runner is killed, it
    gets SIGTERM, finishes its step, saves and ends.

    Args:
        words: of the command line after ``observer``.
        log: the file that it prints to; what earlier processes have printed there stays.
        env: its environment.
    """

    def __init__(self, words: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as out:
            out.write(f"$ observer {shlex.join(words)}\n".encode())
            out.flush()
            self._start = out.tell()
            self._process = subprocess.Popen(
                [*PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                start_new_session=True,
                preexec_fn=_dies_with_its_parent(os.getpid()),
            )

    def ended(self) -> int | None:
        """Return the exit code, as a shell counts it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def stop(self) -> None:
        """Let it finish its step and save."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with the processes that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def why(self, code: int) -> str:
        """Return in a line why it failed.

        Args:
            code: that it has ended with.
        """
        with self.log.open("rb") as file:
            said = last_words(file, self._start)
        if code == 128 + signal.SIGKILL:
            return f"exit code {code}, killed, {MEMORY}"
        if code > 128:
            with suppress(ValueError):
                said = f"{signal.Signals(code - 128).name}{': ' if said else ''}{said}"
        return f"exit code {code}: {said}" if said else f"exit code {code}"


def log_refusal(words: Sequence[str], log: Path, why: str) -> None:
    """Write to the log of a run why it was not started, as its process would have.

    Args:
        words: of the command line after ``observer``.
        log: the file that its processes print to.
        why: a line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ observer {shlex.join(words)}\nobserver: {why}\n")


def failure(log: Path) -> str | None:
    """Return why the last process of a run failed, as far as its log says; "" if it says nothing.

    A process that was killed, or has only begun, has printed neither a refusal nor a traceback.

    Args:
        log: of a run.

    Returns:
        None where no process was started.
    """
    try:
        content = log.read_bytes()[-_LAST:]
    except OSError:
        return None
    last = content[content.rfind(b"\n$ observer ") + 1 :]
    if not any(line.startswith((b"observer: ", b"Traceback ")) for line in last.splitlines()):
        return ""
    return last_words(BytesIO(last), 0)


def last_words(log: BinaryIO, start: int) -> str:
    """Return the line of a log that says most: its own refusal, or else the end of a traceback.

    Args:
        log: of a run.
        start: where the process that has ended began to print.
    """
    size = log.seek(0, os.SEEK_END)
    log.seek(max(start, size - _LAST))
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("observer: ")]
    found = (own or lines or [""])[-1]
    return "".join(mark for mark in found.removeprefix("observer: ") if mark.isprintable())[:400]
