"""Runs asynchronous work in a thread of its own, so that it does not matter what loop its caller is in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new thread with a new event loop, and return what it returns.

    An interrupt of the caller cancels the work.

    Raises:
        BaseException: what the work raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def awaited() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            results.append(asyncio.run(awaited()))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="reward", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        for loop, task in running:
            with suppress(RuntimeError):  # it came to its end meanwhile
                loop.call_soon_threadsafe(task.cancel)
        raise
    if errors:
        raise errors[0]
    return results[0]
