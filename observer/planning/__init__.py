"""What does a run take: memory, disk and time, told before it starts, from its options alone?

Arithmetic on the sizes of a model and the options of a fit: no weights, no rows, no GPU and no network. The
figures are those of the longest prompts and completions that the options admit. Nothing is refused here: what
does not fit is said, with the options that would make it fit.
"""

from observer.planning.memory import gpu_parts, totals
from observer.planning.work import Work, read_work

__all__ = ["Work", "gpu_parts", "read_work", "totals"]
