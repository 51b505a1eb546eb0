"""The model: how it is loaded, its log-probs with work shared in a group, the reference, its export.

It samples nothing (that is ``rollout``), and knows neither rewards nor losses nor trainers.
"""

from observer.policy.export import export_checkpoint
from observer.policy.loading import Lora, PolicySpec, load_processor
from observer.policy.policy import LogProbs, Policy
from observer.policy.reference import Reference

__all__ = [
    "LogProbs",
    "Lora",
    "Policy",
    "PolicySpec",
    "Reference",
    "export_checkpoint",
    "load_processor",
]
