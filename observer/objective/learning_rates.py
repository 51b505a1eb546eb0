"""Learning-rate schedules as factors of the optimizer's own rate; the trainer knows how many steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from observer.refusal import refuse_fields, refuse_unless


class LearningRate(ABC):
    """The factor of the learning rate at an optimizer step."""

    @abstractmethod
    def factor(self, step: int, total: int) -> float:
        """Return the factor of the optimizer's own learning rate.

        Args:
            step: optimizer steps finished.
            total: optimizer steps of the whole run.
        """


@dataclass(frozen=True)
class _Decay(LearningRate):
    """Warm-up, then a way down, which the subclasses choose.

    Args:
        warmup_steps: optimizer steps in which the rate rises linearly to its full value, >= 0.
        final_ratio: the factor at the end of the run, in [0, 1].
    """

    warmup_steps: int = 0
    final_ratio: float = 0.1

    def __post_init__(self) -> None:
        refuse_fields(self, "warmup_steps", least=0)
        refuse_unless(0 <= self.final_ratio <= 1, self, "final_ratio", "it must be in [0, 1]")

    def factor(self, step: int, total: int) -> float:
        """Return the factor at a step; see ``LearningRate``."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
        return self.final_ratio + (1 - self.final_ratio) * self.left(done)

    @abstractmethod
    def left(self, done: float) -> float:
        """Return what is left of the way down, from 1 to 0, when a share ``done`` of it is over."""


@dataclass(frozen=True)
class Constant(LearningRate):
    """factor = 1 after warm-up.

    Args:
        warmup_steps: optimizer steps in which the rate rises linearly to its full value, >= 0.

    >>> Constant(warmup_steps=2).factor(0, 10), Constant().factor(9, 10)
    (0.5, 1.0)
    """

    warmup_steps: int = 0

    def __post_init__(self) -> None:
        refuse_fields(self, "warmup_steps", least=0)

    def factor(self, step: int, total: int) -> float:
        """Return the factor at a step; see ``LearningRate``."""
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0


@dataclass(frozen=True)
class Linear(_Decay):
    """Falls on a straight line from 1 to ``final_ratio`` after warm-up.

    Args:
        warmup_steps: optimizer steps in which the rate rises linearly to its full value, >= 0.
        final_ratio: the factor at the end of the run, in [0, 1].

    >>> round(Linear(final_ratio=0.1).factor(5, 10), 4)
    0.55
    """

    def left(self, done: float) -> float:
        """Return 1 - done; see ``_Decay``."""
        return 1 - done


@dataclass(frozen=True)
class Cosine(_Decay):
    """Falls on half a cosine from 1 to ``final_ratio`` after warm-up.

    Args:
        warmup_steps: optimizer steps in which the rate rises linearly to its full value, >= 0.
        final_ratio: the factor at the end of the run, in [0, 1].

    >>> round(Cosine(final_ratio=0.0).factor(5, 10), 4), round(Cosine(final_ratio=0.0).factor(10, 10), 4)
    (0.5, 0.0)
    """

    def left(self, done: float) -> float:
        """Return half a cosine; see ``_Decay``."""
        return (1 + math.cos(math.pi * done)) / 2
