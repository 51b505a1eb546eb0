"""What does a benchmark's own rule say of a model? Pure functions of what was kept, beside our scores."""

from observer.evaluation.scoring.base import Answered, Scoring
from observer.evaluation.scoring.circular import Circular
from observer.evaluation.scoring.four_way import FourWay
from observer.evaluation.scoring.rounded import Rounded

__all__ = ["Answered", "Circular", "FourWay", "Rounded", "Scoring"]
