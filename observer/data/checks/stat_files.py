"""Reads size and times of many files; also a program of its own, so that several processes share the work.

It imports nothing of the package and none of its libraries, and so starts in some 20 ms.
"""

from __future__ import annotations

import os
import sys
from hashlib import blake2b


def digest(paths: bytes) -> bytes:
    """Return a digest of the size and times of files, which differs when one of them may have changed.

    It includes the time of the last status change (ctime), which programs cannot set: archives may restore
    the same modification time for other content. Links are followed. A missing file is part of the digest
    too.

    Args:
        paths: separated by zero bytes.
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
    """Read paths from standard input and write their digest."""
    sys.stdout.buffer.write(digest(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
