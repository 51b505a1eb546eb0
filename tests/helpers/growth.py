"""Work that is counted instead of timed, so that a busy machine changes no verdict, and a guard for hangs."""

import signal
import sys
import tracemalloc
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def work(call):
    """Return how much a call does: lines of Python that run, and the length of texts whose methods it calls.

    The first call is not counted: it compiles patterns and fills caches. Nor is what happens inside a pattern
    of ``re``: the calls run under ``no_hang`` for that.
    """
    with no_hang():
        call()
    done = 0

    def line(frame, event, _):
        nonlocal done
        done += event == "line"
        return line

    def method(frame, event, function):
        nonlocal done
        if event == "c_call":
            own = getattr(function, "__self__", None)
            done += 1 + (len(own) if isinstance(own, str) else 0)

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(line)
    sys.setprofile(method)
    try:
        with no_hang():
            call()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return done


class _Sizes(TorchDispatchMode):
    """Notes how many elements the largest tensor has that an operation returns and that is no view."""

    most = 0

    def __torch_dispatch__(self, function, types, given=(), options=None):
        made = function(*given, **(options or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, torch.Tensor) and not one._is_view():
                self.most = max(self.most, one.numel())
        return made


def largest(call):
    """Return the elements of the largest tensor that a call makes, or of all its other memory, 8 bytes each.

    What works on all of many rows holds something of their number, be it a mask or an order.
    """
    tracemalloc.start()
    try:
        with _Sizes() as sizes:
            call()
        return max(sizes.most, tracemalloc.get_traced_memory()[1] // 8)
    finally:
        tracemalloc.stop()


@contextmanager
def no_hang(seconds=30):
    """Fail when the block takes so many seconds of the processor, which is hundreds of times what it needs.

    The time of other processes does not count. A pattern of ``re`` is interrupted, too.
    """

    def stop(*_):
        raise AssertionError(f"still busy after {seconds} s of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    outer = signal.setitimer(signal.ITIMER_PROF, seconds)  # what is left to a guard around this one
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_PROF, *outer)
