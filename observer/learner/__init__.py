"""The LightningModules: one step of reinforcement, the supervised warm start, held-out evaluation.

``ObserveLearner`` trains a policy by GRPO and its relatives, ``WarmStart`` by imitation.
"""

from observer.learner.module import DEFAULT_REWARDS, PolicyModule, default_optimizer
from observer.learner.observe import ObserveLearner
from observer.learner.warmstart import WarmStart

__all__ = ["DEFAULT_REWARDS", "ObserveLearner", "PolicyModule", "WarmStart", "default_optimizer"]
