"""Measures models on benchmarks: answers that are kept, and the scores that are read from them.

A model is asked chunk by chunk, and all it wrote is kept with its verdicts; scores are a function of what was
kept alone, so that they can be read again without a model. No learner, and no Lightning but for
``GroundingAudit``, the callback that asks in training whether the model looks.
"""

from typing import TYPE_CHECKING

from observer import on_demand
from observer.evaluation.recipe import Audit, Benchmark, Evaluation
from observer.evaluation.scoring import Circular, FourWay, Rounded, Scoring

if TYPE_CHECKING:
    from observer.evaluation.audit.grounding import GroundingAudit
else:
    __getattr__, __dir__ = on_demand(__name__, GroundingAudit="observer.evaluation.audit.grounding")

__all__ = [
    "Audit",
    "Benchmark",
    "Circular",
    "Evaluation",
    "FourWay",
    "GroundingAudit",
    "Rounded",
    "Scoring",
]
