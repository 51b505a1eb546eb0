"""Figures of a rollout, of its reward components, and of held-out problems."""

from observer.metrics.held_out import LEVELS, HeldOutMetrics
from observer.metrics.rollout import component_means, rollout_figures

__all__ = ["LEVELS", "HeldOutMetrics", "component_means", "rollout_figures"]
