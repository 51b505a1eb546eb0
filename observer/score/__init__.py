"""Scores completions that are there already, as a recipe would in training. No model, no GPU.

The rows are read, verified, scored and weighed by the code of a training step; only the completions come from
a file. ``observer score`` is this room with a command line around it.
"""

from observer.score.audit import Audit
from observer.score.file import audit_path, score_file
from observer.score.table import Tally, draw
from observer.score.worth import Recipe

__all__ = ["Audit", "Recipe", "Tally", "audit_path", "draw", "score_file"]
