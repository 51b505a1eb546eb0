"""Figures of a rollout, of its reward components, and of held-out problems, and their outcomes one by one."""

from typing import TYPE_CHECKING

from observer import on_demand

if TYPE_CHECKING:
    from observer.metrics.held_out import LEVELS, HeldOutMetrics
    from observer.metrics.mismatch import Mismatch
    from observer.metrics.outcomes import OUTCOMES, Outcomes, outcome_table, read_outcomes, write_outcomes
    from observer.metrics.rollout import component_means, rollout_figures, update_figures
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        LEVELS="observer.metrics.held_out",
        HeldOutMetrics="observer.metrics.held_out",
        Mismatch="observer.metrics.mismatch",
        OUTCOMES="observer.metrics.outcomes",
        Outcomes="observer.metrics.outcomes",
        outcome_table="observer.metrics.outcomes",
        read_outcomes="observer.metrics.outcomes",
        write_outcomes="observer.metrics.outcomes",
        component_means="observer.metrics.rollout",
        rollout_figures="observer.metrics.rollout",
        update_figures="observer.metrics.rollout",
    )

__all__ = [
    "LEVELS",
    "OUTCOMES",
    "HeldOutMetrics",
    "Mismatch",
    "Outcomes",
    "component_means",
    "outcome_table",
    "read_outcomes",
    "rollout_figures",
    "update_figures",
    "write_outcomes",
]
