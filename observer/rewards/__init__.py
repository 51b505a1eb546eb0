"""Rewards: what a response must look like, whether its answer is right and what it is worth.

Importing this room makes its rewards and response formats known by name. It needs neither torch nor
transformers.
"""

from observer.rewards.accuracy import Accuracy
from observer.rewards.base import Reward
from observer.rewards.bonus import Bonus
from observer.rewards.box_iou import BoxIoU
from observer.rewards.cosine_length import CosineLength
from observer.rewards.easy_r1_reward import EasyR1Reward
from observer.rewards.format_reward import Format
from observer.rewards.isolation import Limits, Question, Verifier
from observer.rewards.judge import Judge
from observer.rewards.kimi_length import KimiLength
from observer.rewards.language import LanguageConsistency
from observer.rewards.lcpo import LCPO
from observer.rewards.lead_length import LeadLength
from observer.rewards.observation_fidelity import ObservationFidelity
from observer.rewards.observation_length import ObservationLength
from observer.rewards.repetition import RepetitionPenalty
from observer.rewards.response_format import Free, Observe, Reading, ResponseFormat, Think
from observer.rewards.rubric import Rubric
from observer.rewards.shorter_better import ShorterBetter
from observer.rewards.soft_overlong import SoftOverlong
from observer.rewards.trl_reward import TrlReward
from observer.rewards.verifier import KINDS, infer_kind, refuse_unverifiable, verify
from observer.rewards.verl_reward import VerlReward

__all__ = [
    "KINDS",
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
    "Limits",
    "ObservationFidelity",
    "ObservationLength",
    "Observe",
    "Question",
    "Reading",
    "RepetitionPenalty",
    "ResponseFormat",
    "Reward",
    "Rubric",
    "ShorterBetter",
    "SoftOverlong",
    "Think",
    "TrlReward",
    "Verifier",
    "VerlReward",
    "infer_kind",
    "refuse_unverifiable",
    "verify",
]
