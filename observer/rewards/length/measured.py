"""What the rewards of length look at: how long each completion is and whether it is right."""

from __future__ import annotations

from collections.abc import Sequence

from observer.types import Group, Score, Verdict


def token_lengths(group: Group) -> list[int]:
    """Return the completion tokens of each completion, the end token counted."""
    return [len(completion.ids) for completion in group.completions]


def measured(group: Group, scores: Sequence[Score]) -> tuple[list[int], list[bool]] | None:
    """Return the lengths and which completions are correct; None when no answer could be checked.

    A single unverifiable answer counts as not correct, or the policy could escape a penalty by an answer that
    takes the verifier too long. Where nothing could be checked, the fault is the gold answer's, and a length
    reward would push a whole group by its lengths alone.
    """
    if all(score.verdict is Verdict.UNVERIFIABLE for score in scores):
        return None
    return token_lengths(group), [score.correct for score in scores]
