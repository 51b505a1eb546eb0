"""The contract of a reward. The rubric adds rewards up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import ClassVar

from observer.refusal import SHOWN, printable, shown
from observer.types import Group, RefusedError, Score


class Reward(ABC):
    """Gives each completion of a group a number, seeing the whole group.

    A concrete reward is a frozen dataclass with a field ``weight``. One with a ``__post_init__`` of its own
    calls this one.
    """

    weight: float
    """What its values are multiplied by; negative makes it a penalty, 0 keeps it in the logs only."""
    after_normalisation: bool = False
    """Whether it is added to the advantage after the group's normalisation, so outside mean and std."""
    of_accuracy: ClassVar[bool] = False
    """Whether it rewards right answers as such: a weighting may weigh these rewards alone."""

    def __post_init__(self) -> None:
        """Refuse a weight that is no finite number, and a reward without one."""
        weight = getattr(self, "weight", None)  # of a class of the user
        if weight is None:
            raise RefusedError(
                f"{type(self).__name__}: it has no weight; make it a frozen dataclass with a field "
                "'weight: float = 1.0'"
            )
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise RefusedError(f"{type(self).__name__}: weight is {shown(weight)}; give a finite number")

    @abstractmethod
    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return one value per completion, before the weight, in the order of the group.

        Args:
            group: the prompt, its G completions and how they were drawn.
            scores: G scores with verdict, reason, extracted and formatted; the rest is not filled in yet.
            step: rollouts finished before this one.

        Returns:
            G finite numbers, or None for completions that it does not apply to.
        """

    def of_all(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], step: int
    ) -> list[Sequence[float | None]]:
        """Return the values of several groups. For rewards that gain from seeing all of them at once.

        Args:
            groups: all groups of this rank.
            scores: their scores; see ``__call__``.
            step: rollouts finished before this one.

        Raises:
            RuntimeError: what ``__call__`` raised, and of which row.
        """
        values = []
        for group, row in zip(groups, scores, strict=True):
            try:
                values.append(self(group, row, step))
            except Exception as error:
                raise RuntimeError(
                    f"row {printable(group.problem.id, SHOWN)}, step {step}: {error!r}"
                ) from error
        return values
