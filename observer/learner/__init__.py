"""The LightningModules: one GRPO step, the supervised warm start, held-out evaluation.

``ObserveLearner`` trains a policy by GRPO and its relatives, ``WarmStart`` by imitation.
"""

from typing import TYPE_CHECKING

from observer import on_demand

if TYPE_CHECKING:
    from observer.learner.held_out import held_out_sampling
    from observer.learner.module import PolicyModule
    from observer.learner.observe import ObserveLearner
    from observer.learner.optimization import default_optimizer
    from observer.learner.warmstart import WarmStart
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        held_out_sampling="observer.learner.held_out",
        PolicyModule="observer.learner.module",
        ObserveLearner="observer.learner.observe",
        default_optimizer="observer.learner.optimization",
        WarmStart="observer.learner.warmstart",
    )

__all__ = ["ObserveLearner", "PolicyModule", "WarmStart", "default_optimizer", "held_out_sampling"]
