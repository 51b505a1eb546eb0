"""The family of schedules: what every schedule promises, and what none of them can do.

A schedule decides what is drawn, never what a drawn sample is worth: that is weighting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from observer.curriculum.ladder import LadderIndex
from observer.types import RefusedError


class Schedule(ABC):
    """Which rows of the ladder make up the global batch of a step.

    A schedule is pure: a draw depends on its arguments alone (what the policy has shown so far is in the
    ladder index), so a resumed run draws what an unbroken one does and every rank draws the same. It keeps
    nothing between draws except caches.
    """

    @abstractmethod
    def draw(self, ladder: LadderIndex, step: int, count: int, horizon: int, seed: int) -> list[int]:
        """Return the rows of the global batch of a step.

        Args:
            ladder: the rows, and the pass rates seen so far.
            step: rollouts finished before this one, 0-based; it may lie beyond the horizon.
            count: prompts of the global batch, at most R.
            horizon: rollouts over which the schedule runs its course.
            seed: seed of the run.

        Returns:
            ``count`` distinct rows, 0 .. R - 1. Ranks take contiguous slices of them.

        Raises:
            RefusedError: the ladder cannot fill the batch.
        """


def check_draw(ladder: LadderIndex, step: int, count: int, horizon: int) -> None:
    """Refuse what no schedule can draw; a schedule's ``draw`` begins with it.

    Args:
        ladder: the rows.
        step: rollouts finished, at least 0.
        count: prompts of the global batch, 1 .. R.
        horizon: rollouts, at least 1.

    Raises:
        RefusedError: one of them is out of its range.
    """
    if not 1 <= count <= len(ladder):
        raise RefusedError(
            f"a global batch of {count} prompts cannot be drawn from a ladder of {len(ladder)} rows without "
            f"repeating one; take 1 .. {len(ladder)} prompts a step or more rows"
        )
    if step < 0 or horizon < 1:
        raise RefusedError(f"step {step} of a horizon of {horizon} rollouts: step must be >= 0, horizon >= 1")
