"""What is drawn and when: schedules, the ladder index that they read, and the callback that takes one."""

from observer.curriculum.callback import CurriculumCallback
from observer.curriculum.ladder import LadderIndex
from observer.curriculum.random_order import Random
from observer.curriculum.schedules import Schedule, check_draw
from observer.curriculum.sorted_order import Sorted
from observer.curriculum.stages import Stage, Stages

__all__ = [
    "CurriculumCallback",
    "LadderIndex",
    "Random",
    "Schedule",
    "Sorted",
    "Stage",
    "Stages",
    "check_draw",
]
