"""How sure is a figure: intervals over seeds and problems, paired differences, many tests, pass@k.

Pure functions of arrays, numpy and scipy only. No files, no runs, no names of variants: which outcomes are
compared with which is the business of whoever calls. ``docs/statistics.md`` says what each figure means, when
it is wrong, and how often its intervals were found to hold the truth.
"""

from observer.statistics.crossed import crossed
from observer.statistics.estimate import Estimate
from observer.statistics.holm import holm, holm_error
from observer.statistics.majority import maj_at_k
from observer.statistics.pass_at_k import pass_at_k
from observer.statistics.planning import rows_to_resolve, seeds_to_resolve, smallest_effect
from observer.statistics.student import student
from observer.statistics.wilson import wilson

__all__ = [
    "Estimate",
    "crossed",
    "holm",
    "holm_error",
    "maj_at_k",
    "pass_at_k",
    "rows_to_resolve",
    "seeds_to_resolve",
    "smallest_effect",
    "student",
    "wilson",
]
