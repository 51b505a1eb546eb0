"""What tests share that start processes: signals as a terminal leaves them, and when a process hangs."""

import multiprocessing
import signal
import warnings
from contextlib import contextmanager

HUNG = 600
"""Seconds after which something hangs, however busy the machine is. No test passes by waiting for it."""
DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGUSR1: signal.SIG_DFL,
}


@contextmanager
def interruptible():
    """Let these signals reach this process and those that it starts inside.

    A shell without a terminal starts what goes on behind it with SIGINT ignored, and whatever that starts
    inherits it: a script that a test interrupts would run on.
    """
    before = {signum: signal.getsignal(signum) for signum in DEFAULTS}
    for signum, handler in DEFAULTS.items():
        if before[signum] == signal.SIG_IGN:
            signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def forked(call, *given):
    """Return what a call returns in a copy of this process, which it may spoil.

    Other packages have been imported in the copy, which takes seconds in a fresh process. Only the thread of
    the caller goes on there, so the call computes nothing with torch.
    """
    context = multiprocessing.get_context("fork")
    outcome, told = context.Pipe(duplex=False)

    def run():
        told.send(call(*given))

    process = context.Process(target=run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests, which do not go on
        process.start()
    told.close()
    try:
        assert outcome.poll(HUNG), "it hangs"
        return outcome.recv()
    except EOFError:
        raise AssertionError("the copy of this process has failed; what it wrote says why") from None
    finally:
        process.kill()
        process.join()
