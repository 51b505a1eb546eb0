"""What tests of waits share: a watch of their own, and waiting until it has said something."""

import threading
from contextlib import contextmanager

import pytest

from observer.run import waiting
from processes import HUNG


class Heard:
    """A watch in place of the process's own, and the lines that it says.

    With a clock it starts no thread: ``look`` is called by hand. ``then`` is called with each line.
    """

    def __init__(self, after, clock=None, then=None):
        self.lines, self._said, self._then = [], threading.Condition(), then
        self.watch = waiting.Watch(after) if clock is None else waiting.Watch(after, clock)
        if clock is not None:
            self.watch.end()

    def hear(self, line):
        with self._said:
            self.lines.append(line)
            self._said.notify_all()
        if self._then is not None:
            self._then(line)

    def until(self, words):
        """Come back once a line with these words was said."""
        with self._said:
            assert self._said.wait_for(lambda: any(words in line for line in self.lines), HUNG)


@contextmanager
def hearing(after, clock=None, then=None):
    """Yield a ``Heard`` for the waits inside."""
    heard = Heard(after, clock, then)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "WATCH", heard.watch)
        patch.setattr(waiting, "_print", heard.hear)
        try:
            yield heard
        finally:
            heard.watch.end()
