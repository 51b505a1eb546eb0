"""The process that runs checkers which may need any time or memory: no torch, a pool that kills, no orphans.

It reads one batch per line from a socket and answers each with one line. ``observer.verifier.verifier``
starts it; nobody else has a reason to. The processes that check are forked from it, so that they need no
import and find the parser warm: its first parse takes a thousand times as long as its second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from observer.types import Verdict
from observer.verifier.verify import ISOLATED, KINDS, verify

WATCH_SECONDS = 0.5
"""How often the process looks whether its parent still lives."""
TELL_SECONDS = 2.0
"""How often the other side is told how many answers of a batch are checked, while that goes on."""
WARM_UP = (r"\frac{1}{2}+\sqrt{x}", r"\left(3,\pi\right)", r"x^2-1=0", r"\{1,2\}", r"\sin{2y}\le-0.5\cdot3\%")
"""Harmless answers that are checked before the first fork."""

Fields = tuple[str, str, bool, bool]
"""The fields of a ``Result``, as JSON has them: verdict, reason, finished, timed out."""


def check_batch(
    pool: ProcessPool,
    questions: Sequence[Sequence[Any]],
    seconds: float,
    batch_seconds: float,
    tell: Callable[[int], None],
) -> tuple[list[Fields], bool]:
    """Check answers in the pool's processes; one that takes too long is killed with its process.

    Args:
        pool: killable processes.
        questions: (gold, prediction, kind, options) of each.
        seconds: that one answer may take.
        batch_seconds: that all may take together; what is not checked by then is unverifiable.
        tell: takes how many are checked, every now and then.

    Returns:
        The result of each question, in order, and whether the batch took too long: then the pool is still
            busy.
    """
    told = time.monotonic()
    deadline = told + batch_seconds
    futures = [pool.schedule(_check, args=question, timeout=seconds) for question in questions]
    results: list[Fields] = []
    overdue = False
    for future in futures:
        while not (ended := _ends(future, min(deadline, told + TELL_SECONDS))):
            if (told := time.monotonic()) >= deadline:
                break
            tell(len(results))
        if ended:
            results.append(_result(future, seconds))
        else:
            overdue = True
            results.append(_stopped(f"timed out: the batch took over {batch_seconds:g} s", timed_out=True))
    return results, overdue


def _ends(future: ProcessFuture[Fields], deadline: float) -> bool:
    """Return whether a check has ended by then."""
    try:
        future.exception(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return False
    return True


def _result(future: ProcessFuture[Fields], seconds: float) -> Fields:
    try:
        return future.result()
    except TimeoutError:
        return _stopped(f"timed out after {seconds:g} s", timed_out=True)
    except ProcessExpired as error:
        return _stopped(f"the check's process died with exit code {error.exitcode}")


def _stopped(reason: str, timed_out: bool = False) -> Fields:
    return Verdict.UNVERIFIABLE.value, reason, False, timed_out


def _check(gold: str, prediction: str | None, kind: str, options: Sequence[str]) -> Fields:
    """Check an answer in a process of the pool. What a checker raises may not survive pickling."""
    try:
        verdict, reason = verify(gold, prediction, kind, tuple(options))
    except MemoryError:
        return _stopped("the check needs too much memory")
    except RecursionError:
        return _stopped("the answer is nested too deeply")
    except Exception as error:
        return _stopped(f"the check failed: {type(error).__name__}: {error}")
    return verdict.value, reason, True, False


def _limit(memory_mb: int, channel: int) -> None:
    """Set up a process of the pool."""
    os.close(channel)  # else the other side would wait for an answer when this process is all that is left
    # pebble's handler runs between steps of Python only: it would wait three seconds for a long one in C.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    size = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with(parent: int) -> None:
    """End once the parent is gone: its end of the socket may live on in processes that a library forked."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    _end()


def _read(lines: TextIO, batches: queue.SimpleQueue[str]) -> None:
    for line in lines:
        batches.put(line)
    _end()


def _end() -> None:
    os.killpg(0, signal.SIGKILL)  # a group of its own: this process and the pool's


def _serve(options: dict[str, Any]) -> None:
    channel = socket.socket(fileno=options["channel"])
    requests, answers = channel.makefile("r"), channel.makefile("w")
    batches: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, batches), daemon=True).start()
    threading.Thread(target=_die_with, args=(options["parent"],), daemon=True).start()
    for kind in sorted(ISOLATED):
        for answer in WARM_UP:
            KINDS[kind](answer, answer, ())
    pool = ProcessPool(
        max_workers=options["workers"],
        context=multiprocessing.get_context("fork"),
        initializer=_limit,
        initargs=(options["memory_mb"], channel.fileno()),
    )
    print("ready", file=answers, flush=True)

    def tell(checked: int) -> None:
        print(checked, file=answers, flush=True)

    overdue = False
    while not overdue:  # what is left of this batch would delay the next one: new processes check that
        questions = json.loads(batches.get())
        results, overdue = check_batch(pool, questions, options["seconds"], options["batch_seconds"], tell)
        print(json.dumps(results), file=answers, flush=True)


def main() -> None:
    """Answer batches until the socket ends, the parent is gone or a batch took too long."""
    try:
        _serve(json.loads(sys.argv[-1]))
    except Exception:
        traceback.print_exc()  # the other side sees that there is no answer
    finally:
        _end()
