"""Keeps the checked rows of a file, so that the next run opens them in seconds.

Their key is all that the check depends on: the bytes of the file and of the estimates, the options of the
format, the code that checks, and size and times of every picture. If one of them differs, the rows are
checked again. They are stored as an Arrow stream that is mapped into memory when it is read: opening copies
nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa

from observer.data.checks import cache, stat_files
from observer.data.checks.stat_files import digest
from observer.data.images import readings
from observer.data.rows import Identity, Skipped
from observer.data.table import SCHEMA

LEAST_ROWS = 1000
"""Files with fewer rows are checked each time: that takes a second or so, and many entries would pile up."""
STORED_ROWS = 65_536
"""Rows per stored batch: long enough that reading one column maps little of its neighbours."""
STORED_BYTES = 1 << 28
"""Most bytes per stored batch: a column of texts may have 2 GB."""
STAMPED = 100_000
"""Pictures looked up per process; that takes less than a second."""
UNREADABLE = (OSError, RuntimeError, pa.ArrowException, ValueError, KeyError, TypeError)
"""Errors of an entry that is damaged, of another version, or cannot be read."""


class Checked(NamedTuple):
    """The result of checking a file."""

    batches: list[pa.RecordBatch]
    """The good rows, of the schema of ``observer.data.table``."""
    pictures: pa.ChunkedArray
    """Names of all distinct pictures, those of bad rows included."""
    stamp: str
    """A digest of their sizes and times before they were checked; see ``stamp``."""
    skipped: Sequence[Skipped]
    """The bad rows."""
    identity: Identity | None = None
    """Digests of all of this; None for rows that are not cached."""


def checked_once(entry: Entry, check: Callable[[], Checked]) -> Checked:
    """Return the checked rows of an entry, or check them and store them there.

    Args:
        entry: where they are stored.
        check: makes the check; its errors are raised.
    """
    depends = entry.depends()
    if depends is None:
        return check()
    return entry.find(depends) or entry.keep(check(), depends)


def stamp(pictures: pa.ChunkedArray, root: str) -> str:
    """Return a digest of size and times of pictures, which differs when one of them may have changed.

    Args:
        pictures: names as rows write them.
        root: the data folder that they are relative to.
    """

    def of_part(first: int) -> bytes:
        names = pictures.slice(first, STAMPED).to_pylist()
        # Only a name with a colon may be a URL; there may be a million names.
        paths = [path for name in names for path in (readings(name) if ":" in name else (name,))]
        folder = f"{root}/"
        joined = "\0".join([path if path[:1] == "/" else folder + path for path in paths])
        encoded = joined.encode(errors="surrogateescape")
        if len(pictures) <= STAMPED:
            return digest(encoded)
        program = [sys.executable, "-I", "-S", stat_files.__file__]
        try:
            return subprocess.run(program, input=encoded, stdout=subprocess.PIPE, check=True).stdout
        except (OSError, subprocess.SubprocessError):  # slower in this process, with the same result
            return digest(encoded)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = threads.map(of_part, range(0, len(pictures), STAMPED))
        return blake2b(b"".join([os.fsencode(root), *parts])).hexdigest()


@dataclass(frozen=True)
class Entry:
    """The cache entry of one file under one set of options, whatever the file holds.

    Args:
        name: what tells this file and its options from others: builtins.
        classes: the format's own class and those that it is made from, for their code.
        files: what is read, by name: the file of rows and, where there is one, that of estimates.
        root: the data folder of the pictures.
    """

    name: Mapping[str, object]
    classes: Sequence[type]
    files: Sequence[str]
    root: str

    @cached_property
    def path(self) -> Path:
        """Its file."""
        return cache.folder() / "rows" / f"{self.place}.rows"

    @cached_property
    def place(self) -> str:
        """A digest of the name."""
        return cache.digest(dict(self.name))

    def depends(self) -> str | None:
        """Return a digest of all that the check depends on except pictures; None when it is unknown."""
        try:
            code = cache.code_digest(*self.classes)
            return code and cache.digest(self.place, code, [cache.file_digest(file) for file in self.files])
        except (OSError, TypeError):  # the check itself reports unreadable files; options may be no builtins
            return None

    def find(self, depends: str) -> Checked | None:
        """Return the checked rows if their key is the same; mapped, not read."""
        try:
            found = self._mapped(depends) if cache.whole(self.path) else None
            return found if found and stamp(found.pictures, self.root) == found.stamp else None
        except UNREADABLE:
            return None

    def keep(self, checked: Checked, depends: str) -> Checked:
        """Store checked rows in place of earlier ones.

        Returns:
            The same rows, mapped instead of held in memory if possible.
        """
        few = len(checked.skipped) + sum(map(len, checked.batches)) < LEAST_ROWS
        if few or depends != self.depends():  # or the files changed during the check
            return checked
        checked = checked._replace(identity=self._identity(depends, checked.stamp))
        try:
            # Another rank may have stored them first; a file that it has mapped must not be replaced.
            mapped = self._mapped(depends) if cache.whole(self.path) else None
            if mapped is None or mapped.identity != checked.identity:
                cache.write(self.path, lambda file: _fill(file, checked, depends))
                mapped = self._mapped(depends)
            return mapped if mapped and mapped.identity == checked.identity else checked
        except UNREADABLE as error:
            from lightning.pytorch.utilities import rank_zero_info  # takes seconds

            rank_zero_info(f"the checked rows are not kept, they will be checked anew: {error}")
            return checked

    def _mapped(self, depends: str) -> Checked | None:
        source = pa.memory_map(str(self.path))
        names = pa.ipc.open_stream(source).read_all()
        about = json.loads(names.schema.metadata[b"about"])
        if about["depends"] != depends:
            return None
        stamped = about["stamp"]
        return Checked(
            list(pa.ipc.open_stream(source)),
            names["name"],
            stamped,
            [Skipped(*row) for row in about["skipped"]],
            self._identity(depends, stamped),
        )

    def _identity(self, depends: str, stamped: str) -> Identity:
        return Identity(self.place, cache.digest(depends, stamped))


def _fill(file: IO[bytes], checked: Checked, depends: str) -> None:
    """Write two Arrow streams, one after the other: the names of the pictures, and the rows."""
    skipped = [astuple(row) for row in checked.skipped]
    about = json.dumps({"depends": depends, "stamp": checked.stamp, "skipped": skipped})
    schema = pa.schema({"name": pa.large_string()}, metadata={"about": about})
    with pa.ipc.new_stream(file, schema) as stream:
        stream.write_table(pa.table([checked.pictures], schema=schema))
    with pa.ipc.new_stream(file, SCHEMA) as stream:
        for part in _parts(checked.batches):
            stream.write_batch(pa.concat_batches(part))


def _parts(batches: Sequence[pa.RecordBatch]) -> Iterable[list[pa.RecordBatch]]:
    """Group batches into groups of about the size of a stored batch."""
    part: list[pa.RecordBatch] = []
    for batch in batches:
        part.append(batch)
        if sum(map(len, part)) >= STORED_ROWS or sum(one.nbytes for one in part) >= STORED_BYTES:
            yield part
            part = []
    if part:
        yield part
