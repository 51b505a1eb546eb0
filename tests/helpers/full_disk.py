"""A disk without room, as far as a process can be made to believe it."""

import resource
from contextlib import contextmanager


@contextmanager
def full_for_files_above(size):
    """No file may grow beyond so many bytes: what a full disk is to the large ones.

    It also holds for what the tests themselves print into, so no test may leave the block before it ends.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
