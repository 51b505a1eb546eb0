"""The LightningModules: one GRPO step, the supervised warm start, held-out evaluation.

``ObserveLearner`` trains a policy by GRPO and its relatives, ``WarmStart`` by imitation.
"""

from observer.learner.held_out import held_out_sampling
from observer.learner.module import PolicyModule
from observer.learner.observe import ObserveLearner
from observer.learner.optimization import default_optimizer
from observer.learner.warmstart import WarmStart

__all__ = ["ObserveLearner", "PolicyModule", "WarmStart", "default_optimizer", "held_out_sampling"]
