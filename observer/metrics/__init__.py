"""Figures of a rollout, of its reward components, and of held-out problems."""

from typing import TYPE_CHECKING

from observer.faces import on_demand
from observer.metrics.rollout import component_means, rollout_figures

if TYPE_CHECKING:
    from observer.metrics.held_out import LEVELS, HeldOutMetrics
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        LEVELS="observer.metrics.held_out",
        HeldOutMetrics="observer.metrics.held_out",
    )

__all__ = ["LEVELS", "HeldOutMetrics", "component_means", "rollout_figures"]
