"""The policy: loading, log-probs with prompts computed once per group, the reference, export.

It samples nothing (see ``rollout``) and knows no rewards, losses or trainers.
"""

from typing import TYPE_CHECKING

from observer import on_demand

if TYPE_CHECKING:
    from observer.policy.export import export_checkpoint, write_policy
    from observer.policy.loading import Lora, PolicySpec, load_processor
    from observer.policy.policy import LogProbs, Policy
    from observer.policy.reference import Reference
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        export_checkpoint="observer.policy.export",
        write_policy="observer.policy.export",
        Lora="observer.policy.loading",
        PolicySpec="observer.policy.loading",
        load_processor="observer.policy.loading",
        LogProbs="observer.policy.policy",
        Policy="observer.policy.policy",
        Reference="observer.policy.reference",
    )

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
