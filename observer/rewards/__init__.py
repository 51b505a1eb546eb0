"""Rewards: the response formats, and the named rewards of a response.

Importing this room makes its rewards and response formats known by name. It needs neither torch nor
transformers.
"""

from observer.rewards.accuracy import Accuracy
from observer.rewards.base import Reward
from observer.rewards.bonus import Bonus
from observer.rewards.box_iou import BoxIoU
from observer.rewards.foreign.easy_r1 import EasyR1Reward
from observer.rewards.foreign.trl import TrlReward
from observer.rewards.foreign.verl import VerlReward
from observer.rewards.format_reward import Format
from observer.rewards.judge.judge import Judge
from observer.rewards.language import LanguageConsistency
from observer.rewards.length.cosine import CosineLength
from observer.rewards.length.kimi import KimiLength
from observer.rewards.length.lcpo import LCPO
from observer.rewards.length.lead import LeadLength
from observer.rewards.length.shorter_better import ShorterBetter
from observer.rewards.length.soft_overlong import SoftOverlong
from observer.rewards.observation_fidelity import ObservationFidelity
from observer.rewards.observation_length import ObservationLength
from observer.rewards.repetition import RepetitionPenalty
from observer.rewards.response_format import Free, Observe, Reading, ResponseFormat, Think
from observer.rewards.rubric import Rubric

__all__ = [
    "LCPO",
    "Accuracy",
    "Bonus",
    "BoxIoU",
    "CosineLength",
    "EasyR1Reward",
    "Format",
    "Free",
    "Judge",
    "KimiLength",
    "LanguageConsistency",
    "LeadLength",
    "ObservationFidelity",
    "ObservationLength",
    "Observe",
    "Reading",
    "RepetitionPenalty",
    "ResponseFormat",
    "Reward",
    "Rubric",
    "ShorterBetter",
    "SoftOverlong",
    "Think",
    "TrlReward",
    "VerlReward",
]
