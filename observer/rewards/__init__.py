"""Rewards: what a response must look like, whether its answer is right and what it is worth.

Importing this room makes its rewards and response formats known by name. It needs neither torch nor
transformers.
"""

from observer.rewards.accuracy import Accuracy
from observer.rewards.base import Reward
from observer.rewards.bonus import Bonus
from observer.rewards.format_reward import Format
from observer.rewards.isolation import Limits, Question, Verifier
from observer.rewards.response_format import Free, Observe, Reading, ResponseFormat, Think
from observer.rewards.rubric import Rubric
from observer.rewards.verifier import KINDS, infer_kind, refuse_unverifiable, verify

__all__ = [
    "KINDS",
    "Accuracy",
    "Bonus",
    "Format",
    "Free",
    "Limits",
    "Observe",
    "Question",
    "Reading",
    "ResponseFormat",
    "Reward",
    "Rubric",
    "Think",
    "Verifier",
    "infer_kind",
    "refuse_unverifiable",
    "verify",
]
