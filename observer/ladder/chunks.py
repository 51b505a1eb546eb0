"""Work in chunks: ranges of input rows, each finished one a file, shared by the parts of a job array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observer.refusal import shown
from observer.run.files import write_json
from observer.types import RefusedError

MADE = "made.json"
"""What the chunks of a folder depend on."""


@dataclass(frozen=True)
class Part:
    """Every n-th chunk: part 3 of 8 has chunks 2, 10, 18 ..

    Args:
        number: from 1.
        parts: how many there are.

    >>> Part.read("3/8").chunks(20)
    range(2, 20, 8)
    """

    number: int = 1
    parts: int = 1

    @classmethod
    def read(cls, text: str) -> Part:
        """Read ``3/8``.

        Raises:
            RefusedError: it is no such fraction.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise RefusedError(f"--part is {shown(text)}; write the part and how many there are, such as 3/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    @property
    def folder(self) -> str:
        """The name of its folder, below the one of the ladder."""
        return f"{self.number}-of-{self.parts}"

    def chunks(self, count: int) -> range:
        """Return its chunks, of ``count`` in all."""
        return range(self.number - 1, count, self.parts)


class ChunkFolder:
    """The finished chunks of one step.

    Args:
        folder: of the step; made when a chunk is finished.
        rows: of the input.
        size: rows per chunk.
    """

    def __init__(self, folder: Path, rows: int, size: int) -> None:
        self.folder = folder
        self._rows, self._size = rows, size

    def __len__(self) -> int:
        return -(-self._rows // self._size)

    def range(self, chunk: int) -> range:
        """Return the rows of the input that a chunk is of."""
        return range(chunk * self._size, min((chunk + 1) * self._size, self._rows))

    def among(self, chunk: int, rows_N: np.ndarray) -> np.ndarray:
        """Return which of some ascending rows are in a chunk."""
        span = self.range(chunk)
        begin, end = np.searchsorted(rows_N, [span.start, span.stop])
        found_N: np.ndarray = rows_N[begin:end]
        return found_N

    def file(self, chunk: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / f"{chunk:06d}.arrow"

    def missing(self, chunks: Sequence[int]) -> list[int]:
        """Return the chunks that are not finished."""
        return [chunk for chunk in chunks if not self.file(chunk).is_file()]

    @property
    def begun(self) -> bool:
        """Whether a chunk is finished."""
        return any(self.folder.glob("*.arrow"))

    def claim(self, made: Mapping[str, Any]) -> None:
        """Say what the chunks of this folder depend on, or refuse those of something else.

        Raises:
            RefusedError: the folder holds chunks that were made otherwise; names what differs.
        """
        if self.made() is None or not self.begun:
            write_json(self.folder / MADE, made)
        else:
            self.refuse_other(made)

    def refuse_other(self, made: Mapping[str, Any]) -> None:
        """Refuse chunks that were made otherwise.

        Raises:
            RefusedError: names what differs.
        """
        before = self.made()
        if before is not None and (changed := list(differences(before, json.loads(json.dumps(made))))):
            more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
            raise RefusedError(
                f"{self.folder} holds chunks that were made otherwise: {'; '.join(changed[:3])}{more}; go "
                f"back to what they were made with, remove the folder to measure anew, or choose another "
                f"--output"
            )

    def made(self) -> Any:
        """Return what its chunks depend on; None while there are none.

        Raises:
            RefusedError: it cannot be read.
        """
        path = self.folder / MADE
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RefusedError(
                f"{path} cannot be read ({error}); remove {self.folder} to measure anew"
            ) from error


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield a phrase per value that differs between two records of builtins.

    >>> list(differences({"a": [1, 2], "b": 3}, {"a": [1, 5], "b": 3}))
    ['a.1 was 2 and is 5']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from differences(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differences(one, other, f"{where}.{place}")
    elif before != now:
        yield f"{where} was {shown(before)} and is {shown(now)}"
