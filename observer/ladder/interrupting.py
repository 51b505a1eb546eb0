"""Ctrl-C finishes the chunk under way; a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MESSAGE = b"\nfinishing this chunk; press Ctrl-C again to stop at once\n"


@contextmanager
def finishing() -> Iterator[Callable[[], bool]]:
    """Take over SIGINT and SIGTERM; yields what says whether one has arrived.

    Outside of the main thread, where no signal can be taken over, it says no.
    """
    received: list[int] = []

    def receive(signum: int, _: object) -> None:
        if received and signum == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(signum)
        os.write(2, MESSAGE)  # print() may be the very thing that was interrupted

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {signum: signal.signal(signum, receive) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
