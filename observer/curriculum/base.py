"""The family of schedules: what a schedule is asked, what it answers, and what is checked for all of them.

A schedule decides which rows are drawn. How much a drawn sample counts is decided by the weighting.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from observer.curriculum.index import By, LadderIndex
from observer.refusal import refuse_outside, refuse_unknown
from observer.strategies import described
from observer.types import RefusedError

SIGNATURES = {
    "draw": (
        "self, request",
        "request.index, .step, .count, .horizon and .seed say what is asked",
    ),
    "remember": ("self, request, rows, pass_rates", "request.index.memory is what it returned last"),
    "stage": ("self, request", "request.index, request.step and request.horizon say which step is meant"),
}
"""Method that a schedule may define -> its parameters, and where what it needs is found."""


@dataclass(frozen=True)
class DrawRequest:
    """What a schedule is asked: which rows make up the global batch of one step."""

    index: LadderIndex
    """The rows, the pass rates seen so far and, as ``index.memory``, what the schedule remembers."""
    step: int
    """Rollouts finished before this one, 0-based; it may lie beyond the horizon."""
    count: int
    """Prompts of the global batch, 1 .. R."""
    horizon: int
    """Rollouts over which the schedule runs its course, at least 1."""
    seed: int
    """Seed of the draws."""


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """Which rows of the ladder make up the global batch of a step.

    A member defines ``draw`` and, where it needs them, ``remember`` and ``stage``. Whoever uses a schedule
    calls ``batch``, ``memory_after`` and ``stage_name``: they check what is asked and what is answered, and
    put the schedule's own horizon in the place of the run's.

    A schedule is pure: a draw depends on the request alone (its index holds what the policy has shown so far,
    and what ``remember`` made of it), so a resumed run draws what an unbroken one does and every rank draws
    the same. It keeps nothing between draws except caches.

    Args:
        by: what makes a row easy or hard: ``difficulty``, ``complexity``, or ``both``, which is difficulty
            and within it ascending complexity.
        horizon: rollouts over which the schedule runs its course; None for those of the run.
    """

    by: By = "both"
    horizon: int | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, (parameters, where) in SIGNATURES.items():
            method = getattr(cls, name)
            if inspect.isfunction(method) and not _takes(method, parameters.count(",") + 1):
                raise RefusedError(
                    f"{cls.__name__}.{name}{inspect.signature(method)} cannot be called; "
                    f"write it as {name}({parameters}): {where}"
                )

    def __post_init__(self) -> None:
        refuse_unknown(self, "by", By)
        check_options(self, hint=", or null for the run's", horizon=(1, float("inf")))

    @abstractmethod
    def draw(self, request: DrawRequest) -> Sequence[int]:
        """Return ``request.count`` distinct rows, 0 .. R - 1. Ranks take contiguous slices of them.

        Args:
            request: what is asked; it was checked, and its horizon is the schedule's own where it has one.

        Raises:
            RefusedError: the ladder cannot fill the batch.
        """

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return what to know from now on; by default, what was known. Called once per step, on every rank.

        It is a pure fold: it changes none of its arguments. What it returns is in every checkpoint.

        Args:
            request: the step that has just finished; its index has seen the step's pass rates, and
                ``request.index.memory`` is what was returned last, at first an empty mapping.
            rows: the rows of its global batch.
            pass_rates: share of correct completions of each.

        Returns:
            The new memory: builtins and tensors only.
        """
        return request.index.memory

    def stage(self, request: DrawRequest) -> str | None:
        """Return the name of the stage that a step is in, for people; None where there are no stages."""
        return None

    def batch(self, request: DrawRequest) -> list[int]:
        """Return the rows of the global batch of a step, checked.

        Raises:
            RefusedError: a number is out of its range, or the ladder cannot fill the batch.
            RuntimeError: the schedule did not draw as many distinct rows as it was asked for.
        """
        size, request = len(request.index), self._own(request)
        if not 1 <= request.count <= size:
            raise RefusedError(
                f"a global batch of {request.count} prompts cannot be drawn from a ladder of {size} rows "
                f"without repeating one; take 1 .. {size} prompts per step or more rows"
            )
        if request.step < 0 or request.horizon < 1:
            raise RefusedError(
                f"step {request.step} of a horizon of {request.horizon} rollouts: step must be >= 0, "
                f"horizon >= 1"
            )
        rows = list(self.draw(request))
        if not len(rows) == len(set(rows)) == request.count or not all(row in range(size) for row in rows):
            raise RuntimeError(
                f"{described(self)} drew {rows} at step {request.step}; it must draw {request.count} "
                f"distinct rows of 0 .. {size - 1}"
            )
        return rows

    def memory_after(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return what the schedule remembers after a step; see ``remember``."""
        return self.remember(self._own(request), rows, pass_rates)

    def stage_name(self, request: DrawRequest) -> str | None:
        """Return the name of the stage that a step is in; see ``stage``."""
        return self.stage(self._own(request))

    def _own(self, request: DrawRequest) -> DrawRequest:
        return request if self.horizon is None else replace(request, horizon=self.horizon)


def check_options(schedule: object, hint: str = "", **allowed: tuple[float, float]) -> None:
    """Refuse numbers of a schedule that are out of range.

    Args:
        schedule: the schedule.
        hint: what else may be given.
        allowed: option -> its least and its greatest value.

    Raises:
        RefusedError: names the option, its value and what it may be.
    """
    for option, (least, most) in allowed.items():
        refuse_outside(
            f"{type(schedule).__name__}.{option}", getattr(schedule, option), least, most, hint=hint
        )


def _takes(method: Any, count: int) -> bool:
    """Return whether a method can be called so, and does not name what a request holds by itself."""
    signature = inspect.signature(method)
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return signature.parameters.keys().isdisjoint({"ladder", "step", "count", "horizon", "seed"})
