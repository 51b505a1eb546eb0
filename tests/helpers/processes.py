"""What tests share that start processes: signals as a terminal leaves them, and when a process hangs."""

import signal
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
