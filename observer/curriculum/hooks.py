"""What a user writes of a curriculum callback: its options and three hooks.

It does without Lightning, whose import takes seconds, so that callbacks can be listed and schedules drawn
without it; ``CurriculumCallback`` adds what Lightning calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from observer.curriculum.base import Schedule
from observer.curriculum.index import LadderIndex
from observer.curriculum.schedules.random_order import Random
from observer.refusal import refuse_outside, shown
from observer.types import RefusedError


class CurriculumHooks:
    """Chooses which rows of the ladder each step draws.

    Args:
        schedule: what each step draws; None for ``Random()``.
        heat_map_every_n_steps: how often the heat map is drawn, besides at the end; None for never.

    Raises:
        RefusedError: a number is out of range, the schedule is none, or the class is a frozen dataclass.
    """

    def __init__(self, schedule: Schedule | None = None, heat_map_every_n_steps: int | None = 100) -> None:
        if getattr(getattr(type(self), "__dataclass_params__", None), "frozen", False):
            raise RefusedError(
                f"{type(self).__name__} is a frozen dataclass, and a callback keeps what it has seen; write "
                "@dataclass without frozen=True"
            )
        name = "CurriculumCallback.heat_map_every_n_steps"
        refuse_outside(name, heat_map_every_n_steps, 1, hint=", or null")
        self.schedule = Random() if schedule is None else schedule
        self.heat_map_every_n_steps = heat_map_every_n_steps
        self._stage: str | None = None
        self._history: list[dict[int, tuple[int, float]]] = []
        checked_schedule(self)

    def before_draw(self, index: LadderIndex, step: int) -> None:
        """Called before the rows of a step are drawn, on every rank; does nothing by default."""

    def after_observing(
        self, index: LadderIndex, step: int, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> None:
        """Called with the pass rates of a finished step, on every rank; does nothing by default.

        Args:
            index: the rows, and what has been seen of them, this step's included.
            step: the rollout that has just finished, 0-based.
            rows: of its global batch.
            pass_rates: share of correct completions of each.
        """

    def on_stage_change(self, trainer: Any, pl_module: Any, before: str | None, now: str) -> None:
        """Called when a stage begins; ``CurriculumCallback`` writes its name to TensorBoard."""


def checked_schedule(callback: CurriculumHooks) -> Schedule:
    """Return the schedule of a callback, whose class may have an ``__init__`` of its own.

    Raises:
        RefusedError: that ``__init__`` has left out the one of the base, or the schedule is none.
    """
    name = type(callback).__name__
    if not hasattr(callback, "_history"):
        raise RefusedError(
            f"{name}.__init__ does not call CurriculumCallback.__init__; call super().__init__(schedule, "
            "heat_map_every_n_steps) in it (in __post_init__ of a dataclass)"
        )
    schedule: Any = callback.schedule
    if not isinstance(schedule, Schedule):
        raise RefusedError(
            f"{name}.schedule is {shown(schedule)}; give a schedule, such as Random() (of a configuration, "
            "an __init__ of your own is given one if it says 'schedule: Schedule | None = None')"
        )
    return schedule
