"""Which rows come next: schedules, the index they read, the draws of a run, and the callback for users."""

from typing import TYPE_CHECKING

from observer import on_demand
from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.draws import Draws
from observer.curriculum.index import LadderIndex
from observer.curriculum.schedules.adaptive_target import AdaptiveTarget
from observer.curriculum.schedules.at_most import AtMost
from observer.curriculum.schedules.gaussian import Gaussian
from observer.curriculum.schedules.mixture import Mixture, Part
from observer.curriculum.schedules.neura_ladder import NeuraLadder
from observer.curriculum.schedules.per_source import PerSource
from observer.curriculum.schedules.random_order import Random
from observer.curriculum.schedules.self_paced import SelfPaced
from observer.curriculum.schedules.shuffled import Shuffled
from observer.curriculum.schedules.sorted_order import Sorted
from observer.curriculum.schedules.source_ucb import SourceUCB
from observer.curriculum.schedules.stages import Stage, Stages
from observer.curriculum.schedules.variance_driven import VarianceDriven

if TYPE_CHECKING:
    from observer.curriculum.callback import CurriculumCallback
else:
    __getattr__, __dir__ = on_demand(__name__, CurriculumCallback="observer.curriculum.callback")

__all__ = [
    "AdaptiveTarget",
    "AtMost",
    "CurriculumCallback",
    "DrawRequest",
    "Draws",
    "Gaussian",
    "LadderIndex",
    "Mixture",
    "NeuraLadder",
    "Part",
    "PerSource",
    "Random",
    "Schedule",
    "SelfPaced",
    "Shuffled",
    "Sorted",
    "SourceUCB",
    "Stage",
    "Stages",
    "VarianceDriven",
]
