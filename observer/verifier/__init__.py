"""Is this answer right? Verdicts on answers, by rules, in a process that can be killed while it checks.

It imports no torch: the process that checks must start in a moment and stay small. It knows nothing of
responses, where the answer stands in them, or how a right one is rewarded.
"""

from observer.verifier.verifier import Limits, Question, Result, Verifier
from observer.verifier.verify import KINDS, infer_kind, refuse_unverifiable

__all__ = ["KINDS", "Limits", "Question", "Result", "Verifier", "infer_kind", "refuse_unverifiable"]
