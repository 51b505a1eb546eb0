"""The index of a ladder: difficulty, complexity, level and source of all rows, and the run's pass rates.

It holds tensors over all rows and no object per row: 29 bytes per row, 10 more for each further order or for
several sources, so ten million rows take some 290 MB. Rows are read by the data room; schedules decide what
is drawn.
"""

from __future__ import annotations

import copy
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy
import torch

from observer.curriculum.columns import rows_by, tensor_of, whole_numbers
from observer.curriculum.index_state import UnknownMemory, refuse_impossible, refuse_objects
from observer.refusal import refuse_outside
from observer.types import RefusedError

T = TypeVar("T")
By = Literal["difficulty", "complexity", "both"]
"""What rows are ordered by; ``both`` is difficulty and, within it, ascending complexity."""
RUNGS = 9
"""Rungs of a ladder: difficulties in eighths, 0 .. 8."""


class Estimates(NamedTuple):
    """Difficulties of the visited rows, estimated from the run's pass rates."""

    rows_N: torch.Tensor
    """The visited rows, ascending, (N,), int64."""
    prior_N: torch.Tensor
    """Difficulty before the run, (N,), float32."""
    visits_N: torch.Tensor
    """Visits, (N,), int32."""
    difficulty_N: torch.Tensor
    """Difficulty now, (N,), float64."""


class LadderIndex:
    """Difficulty, complexity, level and source of every row, and what the run has seen of it so far.

    Args:
        difficulty_R: share of a base model's answers that were wrong, (R,), in [0, 1]; tensor or numpy array.
        complexity_R: mean length of a base model's responses in tokens, (R,).
        level_R: the level that metrics and stages name, (R,), integers.
        source_R: which of the sources each row is from, (R,), integers; None when all are from the first.
        sources: their names.

    Raises:
        RefusedError: there are no rows, a number is not finite, or a source has no name.
        ValueError: the columns differ in length.

    >>> index = LadderIndex([0.5, 0.0, 0.5], [9.0, 5.0, 7.0], [2, 1, 2])
    >>> index.easy_to_hard.tolist()
    [1, 2, 0]
    >>> index.observe([2, 0], [0.25, 1.0], step=0)
    >>> index.observe([2], [0.75], step=1)
    >>> [part.tolist() for part in index.seen]
    [[0, 2], [1, 2], [1.0, 0.5]]
    >>> index.last_step_R.tolist()
    [0, -1, 1]
    """

    def __init__(
        self,
        difficulty_R: Any,
        complexity_R: Any,
        level_R: Any,
        source_R: Any = None,
        sources: Sequence[str] = ("all",),
    ) -> None:
        self.difficulty_R = tensor_of("difficulty", difficulty_R, torch.float32)
        """Share of wrong answers of a base model, (R,), float32."""
        self.complexity_R = tensor_of("complexity", complexity_R, torch.float32)
        """Mean response length of a base model in tokens, (R,), float32."""
        self.level_R = whole_numbers("level", level_R)
        """Level, (R,), the smallest type of integers that holds them all."""
        size = len(self.difficulty_R)
        # one number, expanded over all rows, takes no memory
        one_R = torch.zeros(1, dtype=torch.uint8).expand(size)
        self.source_R = one_R if source_R is None else whole_numbers("source", source_R)
        """Index of the row's source, (R,), the smallest type of integers that holds them all."""
        self.sources = tuple(sources)
        """Names of the sources."""
        sizes = [len(part) for part in (self.difficulty_R, self.complexity_R, self.level_R, self.source_R)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"difficulty, complexity, level and source are of {sizes} rows; they must be of the same rows"
            )
        if not size:
            raise RefusedError("the ladder has 0 rows; a curriculum needs at least 1")
        lowest, highest = int(self.source_R.min()), int(self.source_R.max())
        if lowest < 0 or highest >= len(self.sources):
            raise RefusedError(
                f"rows are of the sources {lowest} .. {highest}, and {len(self.sources)} have a name"
            )
        self._cache: dict[Any, Any] = {}
        self._forget()

    def _forget(self) -> None:
        self.visits_R = torch.zeros(len(self), dtype=torch.int32)
        """Visits, (R,), int32."""
        self.pass_rate_sums_R = torch.zeros(len(self), dtype=torch.float32)
        """Sum of the pass rates of all visits, (R,), float32."""
        self.last_pass_rate_R = torch.full((len(self),), torch.nan, dtype=torch.float32)
        """Pass rate of the last visit, nan where there was none, (R,), float32."""
        self.last_step_R = torch.full((len(self),), -1, dtype=torch.int32)
        """Step of the last visit, -1 where there was none, (R,), int32."""
        self._memory: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.difficulty_R)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its arrays take, orders and parts that were asked for included."""
        own = [value for value in vars(self).values() if isinstance(value, torch.Tensor)]
        orders = [value for value in self._cache.values() if isinstance(value, torch.Tensor)]
        parts = [value for value in self._cache.values() if isinstance(value, LadderIndex)]
        tensors = sum(tensor.untyped_storage().nbytes() for tensor in own + orders)
        return tensors + sum(part.nbytes for part in parts)

    @property
    def memory(self) -> dict[str, Any]:
        """The schedule's memory of the steps so far; empty before the first."""
        return self._memory

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        refuse_objects(memory, "memory")
        self._memory = memory

    def with_memory(self, memory: dict[str, Any]) -> LadderIndex:
        """Return the same index with another memory. Nothing is copied."""
        other = copy.copy(self)
        other._memory = memory
        return other

    def memory_of(self, part: str) -> dict[str, Any]:
        """Return what a schedule that is part of the run's has as its memory, by its name there."""
        known: Any = self._memory
        of_part: Any = known if isinstance(known, UnknownMemory) else known.get(part, {})
        return of_part  # type: ignore[no-any-return]

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return the cached value of a key, made the first time: for orders and parts that draws need.

        Args:
            key: names the value, hashable.
            make: computes the value from columns that never change in a run.
        """
        if key not in self._cache:
            self._cache[key] = make()
        found: T = self._cache[key]
        return found

    @property
    def digest(self) -> str:
        """A digest of the columns of all rows, to tell ladders of one size apart."""

        def make() -> str:
            digest = hashlib.blake2b("\n".join(self.sources).encode(), digest_size=8)
            for column_R in (self.difficulty_R, self.complexity_R, self.level_R, self.source_R):
                digest.update(numpy.ascontiguousarray(column_R.numpy()).data)
            return digest.hexdigest()

        return self.once("digest", make)

    def order(self, by: By) -> torch.Tensor:
        """Return all rows from easy to hard, equal ones by row, (R,), int32. Do not change it."""

        def make() -> torch.Tensor:
            if by == "difficulty":
                return torch.argsort(self.difficulty_R, stable=True).int()
            order_R = torch.argsort(self.complexity_R, stable=True)
            if by == "both":
                order_R = order_R[torch.argsort(self.difficulty_R[order_R], stable=True)]
            return order_R.int()

        return self.once(("order", by), make)

    @property
    def easy_to_hard(self) -> torch.Tensor:
        """All rows by difficulty, then complexity, then row, (R,), int32. Do not change it."""
        return self.order("both")

    def place(self, by: By, value: float, after: bool = False) -> int:
        """Return the place in the order where a difficulty (by complexity, a complexity) begins, or ends."""
        order_R, column_R = self.order(by), self.column(by)
        bisect = bisect_right if after else bisect_left
        return bisect(range(len(self)), value, key=lambda place: float(column_R[order_R[place]]))

    def column(self, by: By) -> torch.Tensor:
        """Return the column that an order sorts by first, (R,), float32."""
        return self.complexity_R if by == "complexity" else self.difficulty_R

    def rungs(self, by: By) -> list[torch.Tensor]:
        """Return the rows of each of the nine rungs, each in the order, int32; some may be empty.

        Rungs are difficulties rounded to eighths or, by complexity, nine parts as equal as ties allow.
        """

        def make() -> list[torch.Tensor]:
            order_R = self.order(by)
            if by == "complexity":
                cuts = [self.place(by, value) for value in self._rung_starts()]
            else:
                places = range(len(self))
                cuts = [
                    bisect_left(places, rung, key=lambda place: int(self.rung_of(order_R[place], by)))
                    for rung in range(1, RUNGS)
                ]
            return list(torch.tensor_split(order_R, cuts))

        return self.once(("rungs", by), make)

    def rung_of(self, rows: Any, by: By) -> torch.Tensor:
        """Return the rung, 0 .. 8, of each of these rows."""
        column_N = self.column(by)[torch.as_tensor(rows, dtype=torch.int64)]
        if by == "complexity":
            return torch.bucketize(column_N, torch.tensor(self._rung_starts()), right=True)
        return (column_N * (RUNGS - 1)).round().clamp(0, RUNGS - 1).long()

    def _rung_starts(self) -> list[float]:
        """Return the lowest complexity of the second to the last rung."""

        def make() -> list[float]:
            starts = [self.order("complexity")[rung * len(self) // RUNGS] for rung in range(1, RUNGS)]
            return [float(self.complexity_R[row]) for row in starts]

        return self.once("rung starts", make)

    @property
    def rows_by_level(self) -> dict[int, torch.Tensor]:
        """Level -> its rows in ascending order, int32; levels in ascending order. Do not change it."""
        return self.once("level", lambda: rows_by(self.level_R))

    @property
    def rows_by_source(self) -> dict[int, torch.Tensor]:
        """Source -> its rows in ascending order, int32; sources in ascending order. Do not change it."""
        return self.once("source", lambda: rows_by(self.source_R))

    def observe(self, rows: Sequence[int], pass_rates: Sequence[float], step: int) -> None:
        """Record the pass rates of a step. Call it once per step, with the same values on every rank.

        Args:
            rows: the rows of the global batch.
            pass_rates: share of correct completions of each, in [0, 1].
            step: the rollout, 0-based.

        Raises:
            ValueError: the two differ in length, a row is not in the ladder or a pass rate is not in [0, 1].
        """
        if len(rows) != len(pass_rates):
            raise ValueError(f"{len(rows)} rows were observed with {len(pass_rates)} pass rates")
        for row, rate in zip(rows, pass_rates, strict=True):
            if not (0 <= row < len(self) and 0.0 <= rate <= 1.0):
                raise ValueError(
                    f"row {row} with pass rate {rate}: rows are 0 .. {len(self) - 1}, pass rates in [0, 1]"
                )
        rows_N = torch.tensor([int(row) for row in rows], dtype=torch.int64)
        rates_N = torch.tensor([float(rate) for rate in pass_rates], dtype=torch.float32)
        self.visits_R.index_add_(0, rows_N, torch.ones(len(rows_N), dtype=torch.int32))
        self.pass_rate_sums_R.index_add_(0, rows_N, rates_N)
        self.last_pass_rate_R[rows_N] = rates_N
        self.last_step_R[rows_N] = step

    @property
    def seen(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Visited rows (ascending, int64), the visits of each (int32), its mean pass rate (float64)."""
        rows_N = torch.nonzero(self.visits_R).flatten()
        visits_N = self.visits_R[rows_N]
        return rows_N, visits_N, self.pass_rate_sums_R[rows_N].double() / visits_N

    def estimates(self, prior_visits: float = 1.0) -> Estimates:
        """Return the present difficulty of the visited rows: the mean of a Beta over the fail rate.

        With d the difficulty before the run, n visits and p their mean pass rate, it is
        (s d + n (1 - p)) / (s + n).

        Args:
            prior_visits: s, the number of visits that d counts as, at least 0.

        >>> index = LadderIndex([0.5, 0.5], [9.0, 5.0], [2, 1])
        >>> index.observe([1], [1.0], step=0)
        >>> index.estimates().difficulty_N.tolist()  # (1 x 0.5 + 1 x 0) / 2
        [0.25]
        """
        refuse_outside("prior_visits", prior_visits, 0)
        rows_N, visits_N, means_N = self.seen
        prior_N = self.difficulty_R[rows_N]
        fails_N = visits_N * (1 - means_N)
        estimate_N = (prior_visits * prior_N.double() + fails_N) / (prior_visits + visits_N)
        return Estimates(rows_N, prior_N, visits_N, estimate_N)

    def state_dict(self) -> dict[str, Any]:
        """Return pass rates and memory so far: builtins and tensors, of the visited rows only."""
        rows_N = torch.nonzero(self.visits_R).flatten()
        return {
            "size": len(self),
            "rows": rows_N,
            "visits": self.visits_R[rows_N],
            "pass_rate_sums": self.pass_rate_sums_R[rows_N],
            "last_pass_rates": self.last_pass_rate_R[rows_N],
            "last_steps": self.last_step_R[rows_N],
            "memory": self.memory,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace pass rates and memory by those that were saved.

        A ladder to which rows were appended keeps the pass rates of the others.

        Args:
            state: what ``state_dict`` returned.

        Raises:
            RefusedError: a visited row is beyond this ladder.
        """
        rows_N = state["rows"]
        if len(rows_N) and int(rows_N.max()) >= len(self):
            raise RefusedError(
                f"the checkpoint has pass rates up to row {int(rows_N.max())} of a ladder of "
                f"{state['size']} rows, this ladder has {len(self)} rows; resume with the run's own ladder"
            )
        refuse_impossible(state)
        self._forget()
        self.visits_R[rows_N] = state["visits"]
        self.pass_rate_sums_R[rows_N] = state["pass_rate_sums"]
        self.last_pass_rate_R[rows_N] = state["last_pass_rates"]
        self.last_step_R[rows_N] = state["last_steps"]
        self.memory = state["memory"]
