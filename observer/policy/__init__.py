"""The policy: loading, log-probs with prompts computed once per group, the reference, export.

It samples nothing (see ``rollout``) and knows no rewards, losses or trainers.
"""

from observer.policy.export import export_checkpoint, write_policy
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
    "write_policy",
]
