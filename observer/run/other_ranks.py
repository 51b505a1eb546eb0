"""Names the ranks that others wait for: ``with waiting_for_ranks("a sum of figures", world_size): ..``.

A rank that waits for some time notes the number of its exchange in the store through which the ranks have
met. Who has not noted it has not come there yet. What is fast notes nothing.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from observer.run.waiting import waiting

STORE_SECONDS = 5.0
"""How long the store may take to answer."""
_NUMBERS = count(1)
"""Of the exchanges of this process: the same in all ranks, as all take part in each."""


def waiting_for_ranks(what: str, world_size: int) -> AbstractContextManager[Any]:
    """Return a context in which all ranks meet, or none; see ``waiting``.

    Args:
        what: they meet for.
        world_size: ranks of the run; with one there is nobody to wait for.
    """
    if world_size < 2:
        return nullcontext()
    place = _Place(next(_NUMBERS), world_size)
    return waiting(f"other ranks, for {what}", place.missing, place.note)


@dataclass
class _Place:
    """One exchange."""

    number: int
    world_size: int
    _store: Any = field(default=None, init=False)

    def note(self) -> None:
        """Note that this rank is here."""
        from torch import distributed

        if self._store is None:
            # A connection of its own: the thread that waits may be using the other one.
            self._store = distributed.TCPStore(  # type: ignore[attr-defined]
                os.environ["MASTER_ADDR"],
                int(os.environ["MASTER_PORT"]),
                is_master=False,
                timeout=timedelta(seconds=STORE_SECONDS),
                wait_for_workers=False,
            )
            self._store.set(_key(distributed.get_rank()), str(self.number))

    def missing(self) -> str:
        """Return which ranks are not here yet, as far as it can be known."""
        if self._store is None:
            return ""
        there = [rank for rank in range(self.world_size) if self._store.check([_key(rank)])]
        arrived = {rank for rank in there if int(self._store.get(_key(rank))) >= self.number}
        absent = [str(rank) for rank in range(self.world_size) if rank not in arrived]
        return f"not here yet: rank {', '.join(absent)}" if absent else "all are here"


def _key(rank: int) -> str:
    return f"observer/exchange/{rank}"
