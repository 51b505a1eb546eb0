"""Reads size and times of many files; also a program of its own, so that several processes share the work.

It imports nothing of the package and none of its libraries, and so starts in some 20 ms.
"""

from __future__ import annotations

import os
import sys
from hashlib import blake2b


def digest(paths: bytes) -> bytes:
    """Return a digest of the size and times of files: another one when one of them may have changed.

    The time of the last change is among them, which programs cannot set: archives give files the same time of
    writing whatever they hold. Links are followed. A file that is not there counts too.

    Args:
        paths: with a zero byte between them.
    """
    found: list[tuple[int, int, int] | None] = []
    for path in paths.split(b"\0"):
        try:
            stat = os.stat(path)
            found.append((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        except (OSError, ValueError):
            found.append(None)
    return blake2b(repr(found).encode()).digest()


def main() -> None:
    """Answer paths with their digest."""
    sys.stdout.buffer.write(digest(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
