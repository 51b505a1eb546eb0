"""What a scored group is worth to the update: advantages, weights, losses, KL estimators, learning rates.

Pure functions of tensors in the shape legend of ``observer.types``; no model, no engine, no trainer. Every
strategy is a frozen dataclass in a file of its own.
"""

from observer.objective.advantages.base import Advantage
from observer.objective.advantages.group_mean import GroupMean
from observer.objective.advantages.group_mean_std import GroupMeanStd
from observer.objective.kl.base import KL
from observer.objective.kl.k1 import K1
from observer.objective.kl.k3 import K3
from observer.objective.learning_rates import Constant, Cosine, LearningRate, Linear
from observer.objective.loss import Loss, PPOClip
from observer.objective.weighing import weigh
from observer.objective.weightings.base import Weighting
from observer.objective.weightings.quadratic import Quadratic
from observer.objective.weightings.uniform import Uniform

__all__ = [
    "K1",
    "K3",
    "KL",
    "Advantage",
    "Constant",
    "Cosine",
    "GroupMean",
    "GroupMeanStd",
    "LearningRate",
    "Linear",
    "Loss",
    "PPOClip",
    "Quadratic",
    "Uniform",
    "Weighting",
    "weigh",
]
