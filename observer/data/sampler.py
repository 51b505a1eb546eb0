"""The batch sampler: each step's rows, drawn when the step begins; what loaders need around it.

It holds no state: its owner holds and saves the step, so a resumed run continues at the step it stopped at,
also in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from observer.data.rows import Rows
from observer.refusal import refuse_outside
from observer.types import Problem, RefusedError


class LadderBatchSampler(Sampler[list[int]]):
    """Yields this rank's slice of the rows of step ``start()``, of the next step, and so on.

    A draw may depend on the pass rates of the step before, so it must not happen before that step has ended:
    give the loader ``num_workers=0`` (workers fetch ahead). Having a length keeps Lightning from fetching
    ahead.

    An iterator yields ``len`` batches, also when it begins in the middle of an epoch: Lightning asks for as
    many as the epoch still needs.

    Args:
        start: the step that the next iterator begins at; read when the iterator's first batch is asked for.
        draw: step -> rows of the global batch, the same on every rank, distinct.
        steps_per_epoch: batches of an epoch, at least 1.
        rank: this process, 0 .. world_size - 1.
        world_size: processes; each takes an equal, contiguous slice of a draw.

    Raises:
        RefusedError: a number is out of its range, or a draw repeats rows or cannot be cut into equal slices.

    >>> list(LadderBatchSampler(lambda: 5, lambda step: [step, 1, 2, 3], steps_per_epoch=2, world_size=2))
    [[5, 1], [6, 1]]
    """

    def __init__(
        self,
        start: Callable[[], int],
        draw: Callable[[int], list[int]],
        steps_per_epoch: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        refuse_outside("steps_per_epoch", steps_per_epoch, 1)
        if not 0 <= rank < world_size:
            raise RefusedError(f"rank {rank} of {world_size} processes; ranks are 0 .. world_size - 1")
        self.start = start
        self.draw = draw
        self.steps_per_epoch = steps_per_epoch
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        begin = self.start()
        for step in range(begin, begin + self.steps_per_epoch):
            yield self.at(step)

    def at(self, step: int) -> list[int]:
        """Return this rank's rows of a step."""
        rows = self.draw(step)
        if len(rows) % self.world_size:
            raise RefusedError(
                f"step {step} draws {len(rows)} prompts, which cannot be cut into equal parts for "
                f"{self.world_size} processes; take a multiple of {self.world_size}"
            )
        if len(set(rows)) < len(rows):
            twice = sorted({row for row in rows if rows.count(row) > 1})
            raise RefusedError(
                f"step {step} draws rows more than once: {twice}; a schedule must draw distinct rows"
            )
        size = len(rows) // self.world_size
        return rows[self.rank * size : (self.rank + 1) * size]


class ProblemSet(Dataset[Problem]):
    """The problems of rows, as loaders take them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Problem:
        return self._rows[row]


class ResumableLoader(DataLoader[Problem]):
    """Tells Lightning that it can resume inside an epoch: the data module's step is the position."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the data module's own state says it all."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to do: the sampler starts at the data module's step."""
