"""Keeps freed memory in the process, on a CPU, so that a pass reuses the memory of the one before."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors instead of returning it to the system.

    Otherwise every pass allocates its activations anew: up to 40,000 page faults and an eighth of the time of
    a training pass of the quickstart. A ``MALLOC_TRIM_THRESHOLD_`` in the environment is left as it is. With
    another C library nothing happens.
    """
    if platform.libc_ver()[0] != "glibc" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    library = ctypes.CDLL(None)
    library.mallopt(
        M_MMAP_THRESHOLD, 32 * 2**20
    )  # the largest value it takes; larger blocks go back to the system
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
