"""GRPO and its relatives: advantages, weights, losses, KL estimators, denominators, learning rates, groups.

GRPO as in its paper is ``GroupMeanStd``, ``Uniform``, ``PPOClip`` and ``K3``, divided by ``sequences``.

Pure functions of tensors in the shape legend of ``observer.types``; no model, no engine, no trainer. Every
strategy is a frozen dataclass in a file of its own.
"""

from observer.objective.advantages.base import Advantage
from observer.objective.advantages.batch_mean_std import BatchMeanStd
from observer.objective.advantages.group_mean import GroupMean
from observer.objective.advantages.group_mean_batch_std import GroupMeanBatchStd
from observer.objective.advantages.group_mean_mad import GroupMeanMad
from observer.objective.advantages.group_mean_std import GroupMeanStd
from observer.objective.correction import Correction
from observer.objective.denominators import Denominator, UpdateCounts, reduced
from observer.objective.kl.base import KL
from observer.objective.kl.k1 import K1
from observer.objective.kl.k2 import K2
from observer.objective.kl.k3 import K3
from observer.objective.learning_rates import Constant, Cosine, LearningRate, Linear
from observer.objective.losses.base import Loss
from observer.objective.losses.cispo import CISPO
from observer.objective.losses.ppo_clip import PPOClip
from observer.objective.losses.sapo import SAPO
from observer.objective.micro_batches import (
    MicroBatch,
    Truncated,
    UpdateFilter,
    ZeroSignal,
    counted,
    cut_groups,
    equal_parts,
    make_micro_batches,
)
from observer.objective.objective import Objective, Tokens
from observer.objective.parameter_groups import ByName, ByRole, NamedLike, ParameterGroups, grouped
from observer.objective.update_norm import update_norm
from observer.objective.weighing import Combine, ComponentWeights, Ranks, weigh
from observer.objective.weightings.answer_diversity import AnswerDiversity
from observer.objective.weightings.answer_entropy import AnswerEntropy
from observer.objective.weightings.base import Weighting
from observer.objective.weightings.disco import Disco
from observer.objective.weightings.logistic import Logistic
from observer.objective.weightings.quadratic import Quadratic
from observer.objective.weightings.reward_range import RewardRange
from observer.objective.weightings.stage_wave import StageWave
from observer.objective.weightings.uniform import Uniform

__all__ = [
    "CISPO",
    "K1",
    "K2",
    "K3",
    "KL",
    "SAPO",
    "Advantage",
    "AnswerDiversity",
    "AnswerEntropy",
    "BatchMeanStd",
    "ByName",
    "ByRole",
    "Combine",
    "ComponentWeights",
    "Constant",
    "Correction",
    "Cosine",
    "Denominator",
    "Disco",
    "GroupMean",
    "GroupMeanBatchStd",
    "GroupMeanMad",
    "GroupMeanStd",
    "LearningRate",
    "Linear",
    "Logistic",
    "Loss",
    "MicroBatch",
    "NamedLike",
    "Objective",
    "PPOClip",
    "ParameterGroups",
    "Quadratic",
    "Ranks",
    "RewardRange",
    "StageWave",
    "Tokens",
    "Truncated",
    "Uniform",
    "UpdateCounts",
    "UpdateFilter",
    "Weighting",
    "ZeroSignal",
    "counted",
    "cut_groups",
    "equal_parts",
    "grouped",
    "make_micro_batches",
    "reduced",
    "update_norm",
    "weigh",
]
