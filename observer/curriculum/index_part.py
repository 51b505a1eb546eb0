"""An index over some of the rows, which a schedule can draw from like the index of a whole ladder."""

from __future__ import annotations

from typing import Any

import torch

from observer.curriculum.index import LadderIndex


class LadderPart(LadderIndex):
    """Some rows of a ladder, numbered anew: 0 is the first of them.

    Difficulty, complexity, level and source are copied. Visits and pass rates are looked up in the whole
    index each time, so that there is one record of them.

    Args:
        whole: the index of the ladder.
        rows_N: rows of it, ascending, (N,), integers.

    >>> whole = LadderIndex([0.5, 0.0, 0.25], [9.0, 5.0, 7.0], [2, 1, 2])
    >>> part = LadderPart(whole, torch.tensor([0, 2]))
    >>> whole.observe([2], [0.5], step=0)
    >>> part.easy_to_hard.tolist(), part.visits_R.tolist()
    ([1, 0], [0, 1])
    """

    def __init__(self, whole: LadderIndex, rows_N: torch.Tensor) -> None:
        self._whole = whole
        self.rows_N = rows_N.long()
        """The rows of the whole ladder that are in it, ascending, (N,), int64."""
        super().__init__(
            whole.difficulty_R[self.rows_N],
            whole.complexity_R[self.rows_N],
            whole.level_R[self.rows_N],
            whole.source_R[self.rows_N],
            whole.sources,
        )

    def _forget(self) -> None:
        self._memory: dict[str, Any] = {}

    @property
    def visits_R(self) -> torch.Tensor:  # type: ignore[override]
        """Visits, (N,), int32."""
        return self._whole.visits_R[self.rows_N]

    @property
    def pass_rate_sums_R(self) -> torch.Tensor:  # type: ignore[override]
        """Sum of the pass rates of all visits, (N,), float32."""
        return self._whole.pass_rate_sums_R[self.rows_N]

    @property
    def last_pass_rate_R(self) -> torch.Tensor:  # type: ignore[override]
        """Pass rate of the last visit, nan where there was none, (N,), float32."""
        return self._whole.last_pass_rate_R[self.rows_N]

    @property
    def last_step_R(self) -> torch.Tensor:  # type: ignore[override]
        """Step of the last visit, -1 where there was none, (N,), int32."""
        return self._whole.last_step_R[self.rows_N]

    def within(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the numbers that rows of the whole ladder have in this part, which holds them all."""
        return torch.searchsorted(self.rows_N, rows)
