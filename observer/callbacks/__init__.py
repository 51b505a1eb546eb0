"""Callbacks that watch a run and keep it: report, alarms, completions, checkpoints, graceful stops.

Removing any of them changes no number of the training.
"""

from observer.callbacks.alarms import Alarms
from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.callbacks.checkpoints import checkpoint_callbacks
from observer.callbacks.completions import Completions
from observer.callbacks.components import Components
from observer.callbacks.interrupt import GracefulStop
from observer.callbacks.predictions import Predictions
from observer.callbacks.progress import RunProgress
from observer.callbacks.report import RunReport

__all__ = [
    "Alarms",
    "AtomicCheckpointIO",
    "Completions",
    "Components",
    "GracefulStop",
    "Predictions",
    "RunProgress",
    "RunReport",
    "checkpoint_callbacks",
]
