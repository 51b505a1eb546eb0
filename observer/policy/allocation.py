"""Keeps the memory of one pass for the next, on a CPU."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> None:
    """Make the C library keep what tensors free, where that library is glibc.

    It would hand the activations of every pass back to the system and ask for them anew: up to 40,000 page
    faults and an eighth of the time of a training pass of the quickstart. What a user has set in the
    environment (``MALLOC_TRIM_THRESHOLD_``) is left as it is.
    """
    if platform.libc_ver()[0] != "glibc" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the largest it takes; above it, pages always go back
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
