"""Freed memory on a CPU: a pass reuses that of the one before, and between passes the system can have it."""

from __future__ import annotations

import ctypes
import os
import platform

import pyarrow as pa

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


def return_freed_memory() -> None:
    """Give the freed memory that glibc and Arrow keep back to the system, once, as before a checkpoint.

    After an optimizer step it is as much as gradients and activations took, also where tensors that live on
    lie between; after reading rows, some fifty bytes of each. What comes next allocates it anew. With
    another C library Arrow's alone goes back.
    """
    pa.default_memory_pool().release_unused()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
