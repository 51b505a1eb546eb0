"""What is drawn and when: schedules, the ladder index that they read, and the callback that takes one."""

from observer.curriculum.adaptive_target import AdaptiveTarget
from observer.curriculum.at_most import AtMost
from observer.curriculum.callback import CurriculumCallback
from observer.curriculum.gaussian import Gaussian
from observer.curriculum.ladder import LadderIndex
from observer.curriculum.mixture import Mixture, Part
from observer.curriculum.neura_ladder import Ladder
from observer.curriculum.per_source import PerSource
from observer.curriculum.random_order import Random
from observer.curriculum.schedules import Schedule, check_draw
from observer.curriculum.self_paced import SelfPaced
from observer.curriculum.sorted_order import Sorted
from observer.curriculum.source_ucb import SourceUCB
from observer.curriculum.stages import Stage, Stages
from observer.curriculum.variance_driven import VarianceDriven

__all__ = [
    "AdaptiveTarget",
    "AtMost",
    "CurriculumCallback",
    "Gaussian",
    "Ladder",
    "LadderIndex",
    "Mixture",
    "Part",
    "PerSource",
    "Random",
    "Schedule",
    "SelfPaced",
    "Sorted",
    "SourceUCB",
    "Stage",
    "Stages",
    "VarianceDriven",
    "check_draw",
]
