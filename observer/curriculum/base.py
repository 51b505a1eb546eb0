"""The family of schedules: what every schedule promises, and what none of them can do.

A schedule decides what is drawn, never what a drawn sample is worth: that is weighting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from observer.curriculum.index import By, LadderIndex
from observer.refusal import refuse_unknown, refuse_unless
from observer.types import RefusedError


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """Which rows of the ladder make up the global batch of a step.

    A schedule is pure: a draw depends on its arguments alone (what the policy has shown so far, and what
    ``remember`` made of it, is in the ladder index), so a resumed run draws what an unbroken one does and
    every rank draws the same. It keeps nothing between draws except caches.

    Args:
        by: what makes a row easy or hard: ``difficulty``, ``complexity``, or ``both``, which is difficulty
            and within it ascending complexity.
        horizon: rollouts over which the schedule runs its course; None for those of the run.
    """

    by: By = "both"
    horizon: int | None = None

    def __post_init__(self) -> None:
        refuse_unknown(self, "by", By)
        fits = self.horizon is None or self.horizon >= 1
        refuse_unless(fits, self, "horizon", "it must be >= 1, or null for the run's")

    @abstractmethod
    def draw(self, ladder: LadderIndex, step: int, count: int, horizon: int, seed: int) -> list[int]:
        """Return the rows of the global batch of a step.

        Args:
            ladder: the rows, the pass rates seen so far and, as ``ladder.memory``, what was remembered.
            step: rollouts finished before this one, 0-based; it may lie beyond the horizon.
            count: prompts of the global batch, at most R.
            horizon: rollouts over which the schedule runs its course.
            seed: seed of the run.

        Returns:
            ``count`` distinct rows, 0 .. R - 1. Ranks take contiguous slices of them.

        Raises:
            RefusedError: the ladder cannot fill the batch.
        """

    def remember(
        self,
        memory: dict[str, Any],
        ladder: LadderIndex,
        step: int,
        rows: Sequence[int],
        pass_rates: Sequence[float],
    ) -> dict[str, Any]:
        """Return what to know from now on; by default, what was known. Called once a step, on every rank.

        It is a pure fold: it changes none of its arguments. What it returns is in every checkpoint.

        Args:
            memory: what it returned last; at first an empty mapping.
            ladder: the rows and the pass rates seen so far, this step's included.
            step: the rollout that has just finished, 0-based.
            rows: the rows of its global batch.
            pass_rates: share of correct completions of each.

        Returns:
            The new memory: builtins and tensors only.
        """
        return memory

    def stage(self, ladder: LadderIndex, step: int, horizon: int) -> str | None:
        """Return the name of the stage that a step is in, for people; None where there are no stages."""
        return None

    def course(self, of_run: int) -> int:
        """Return the rollouts over which it runs its course: its own horizon where it has one.

        Args:
            of_run: rollouts of the run.
        """
        return self.horizon or of_run

    def begin(self, ladder: LadderIndex, step: int, count: int, horizon: int) -> int:
        """Refuse what no schedule can draw; a schedule's ``draw`` begins with it.

        Returns:
            The horizon that counts: its own where it has one.

        Raises:
            RefusedError: a number is out of its range.
        """
        horizon = self.course(horizon)
        check_draw(ladder, step, count, horizon)
        return horizon


def check_draw(ladder: LadderIndex, step: int, count: int, horizon: int) -> None:
    """Refuse what no schedule can draw.

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


def check_options(schedule: Schedule, **allowed: tuple[float, float]) -> None:
    """Refuse numbers of a schedule that are out of range.

    Args:
        schedule: the schedule.
        allowed: option -> its least and its greatest value.

    Raises:
        RefusedError: names the option, its value and what it may be.
    """
    for option, (least, greatest) in allowed.items():
        value = getattr(schedule, option)
        may_be = f">= {least:g}" if greatest == float("inf") else f"{least:g} .. {greatest:g}"
        refuse_unless(least <= value <= greatest, schedule, option, f"it must be {may_be}")
