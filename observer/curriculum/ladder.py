"""What a schedule may know of the rows: how hard they were for a base model, how the policy has fared.

It holds tensors over all rows and no object a row, so a million rows cost tens of megabytes. It reads no
files (the data room does) and decides nothing (schedules do).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy
import torch

from observer.types import RefusedError


def _tensor(name: str, values: Any, dtype: torch.dtype) -> torch.Tensor:
    """Convert to a tensor of one dimension without ties to the array it came from, which may be read-only."""
    tensor = (
        values.detach().cpu() if isinstance(values, torch.Tensor) else torch.from_numpy(numpy.array(values))
    )
    if tensor.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not the shape {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        row = int(torch.nonzero(~torch.isfinite(tensor))[0])
        raise RefusedError(f"{name} of row {row} is {float(tensor[row])}; give it a finite number")
    return tensor.to(dtype)


class LadderIndex:
    """Difficulty, complexity and level of every row, and the pass rates seen so far of the visited ones.

    Args:
        difficulty_R: share of a base model's answers that were wrong, (R,), in [0, 1]; tensor or numpy array.
        complexity_R: mean length of a base model's responses in tokens, (R,).
        level_R: the level that metrics and stages name, (R,), integers.

    Raises:
        RefusedError: there are no rows, or a number is not finite.
        ValueError: the three differ in length.

    >>> ladder = LadderIndex([0.5, 0.0, 0.5], [9.0, 5.0, 7.0], [2, 1, 2])
    >>> ladder.easy_to_hard.tolist()
    [1, 2, 0]
    >>> ladder.observe([2, 0, 2], [0.25, 1.0, 0.75])
    >>> [part.tolist() for part in ladder.seen]
    [[0, 2], [1, 2], [1.0, 0.5]]
    """

    def __init__(self, difficulty_R: Any, complexity_R: Any, level_R: Any) -> None:
        self.difficulty_R = _tensor("difficulty", difficulty_R, torch.float32)
        """Share of wrong answers of a base model, (R,), float32."""
        self.complexity_R = _tensor("complexity", complexity_R, torch.float32)
        """Mean response length of a base model in tokens, (R,), float32."""
        self.level_R = _tensor("level", level_R, torch.int64)
        """Level, (R,), int64."""
        sizes = len(self.difficulty_R), len(self.complexity_R), len(self.level_R)
        if len(set(sizes)) > 1:
            raise ValueError(
                f"difficulty, complexity and level are of {sizes} rows; they must be of the same rows"
            )
        if not sizes[0]:
            raise RefusedError("the ladder has 0 rows; a curriculum needs at least 1")
        self._visits_R = torch.zeros(len(self), dtype=torch.int64)
        self._pass_rate_sums_R = torch.zeros(len(self), dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.difficulty_R)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of difficulty, complexity and level of all rows, to tell ladders of one size apart."""
        digest = hashlib.blake2b(digest_size=8)
        for column_R in (self.difficulty_R, self.complexity_R, self.level_R):
            digest.update(column_R.numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def easy_to_hard(self) -> torch.Tensor:
        """All rows by difficulty, then complexity, then row, (R,), int64. Sorted once; not to be changed."""
        order_R = torch.argsort(self.complexity_R, stable=True)
        return order_R[torch.argsort(self.difficulty_R[order_R], stable=True)]

    @cached_property
    def rows_by_level(self) -> dict[int, torch.Tensor]:
        """Level -> its rows in ascending order, int64; levels in ascending order. Not to be changed."""
        levels, sizes = torch.unique(self.level_R, return_counts=True)
        rows = torch.split(torch.argsort(self.level_R, stable=True), sizes.tolist())
        return dict(zip(levels.tolist(), rows, strict=True))

    def observe(self, rows: Sequence[int], pass_rates: Sequence[float]) -> None:
        """Take note of what a step has shown. To be called with the same values on every rank, once a step.

        Args:
            rows: the rows of the global batch.
            pass_rates: share of correct completions of each, in [0, 1].

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
        self._visits_R.index_add_(0, rows_N, torch.ones_like(rows_N))
        rates_N = torch.tensor([float(rate) for rate in pass_rates], dtype=torch.float64)
        self._pass_rate_sums_R.index_add_(0, rows_N, rates_N)

    @property
    def seen(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Visited rows (ascending, int64), the visits of each (int64), its mean pass rate (float64)."""
        rows_N = torch.nonzero(self._visits_R).flatten()
        visits_N = self._visits_R[rows_N]
        return rows_N, visits_N, self._pass_rate_sums_R[rows_N] / visits_N

    def state_dict(self) -> dict[str, Any]:
        """Return the pass rates seen so far: builtins and tensors of the visited rows only."""
        rows_N = torch.nonzero(self._visits_R).flatten()
        return {
            "size": len(self),
            "rows": rows_N,
            "visits": self._visits_R[rows_N],
            "pass_rate_sums": self._pass_rate_sums_R[rows_N],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the pass rates seen so far by saved ones.

        A ladder that has grown at its end keeps what was seen.

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
        self._visits_R = torch.zeros(len(self), dtype=torch.int64)
        self._pass_rate_sums_R = torch.zeros(len(self), dtype=torch.float64)
        self._visits_R[rows_N] = state["visits"]
        self._pass_rate_sums_R[rows_N] = state["pass_rate_sums"]
