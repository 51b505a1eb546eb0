"""How much the answers of a group differ, right or wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from observer.types import Score


def alike(scores: Sequence[Score]) -> list[int]:
    """Return how many completions of a group give each of its answers.

    Answers are the same when they are the same text without outer blanks and differences of case; right ones
    are the same however they are written. Completions without an answer are one class of their own.

    Args:
        scores: those of a group.

    >>> from observer.types import Verdict
    >>> right, wrong = Verdict.CORRECT, Verdict.WRONG
    >>> answers = [(right, "1/2"), (right, "0.5"), (wrong, "Red "), (wrong, "red"), (wrong, None)]
    >>> alike([Score(verdict, "", answer, True) for verdict, answer in answers])
    [2, 2, 1]
    """
    return list(Counter(_key(score) for score in scores).values())


def _key(score: Score) -> tuple[bool, str | None]:
    if score.correct or score.extracted is None:
        return score.correct, None
    return False, score.extracted.strip().casefold()


def distinct(counts: Sequence[int]) -> float:
    """Return (M - 1) / (G - 1), in [0, 1]: M different answers among G; 0 for a group of one.

    Args:
        counts: completions by answer.

    >>> distinct([2, 1, 1]), distinct([4]), distinct([1])
    (0.6666666666666666, 0.0, 0.0)
    """
    size = sum(counts)
    return (len(counts) - 1) / (size - 1) if size > 1 else 0.0


def evenness(counts: Sequence[int], classes: int) -> float:
    """Return the entropy of the answers over log(classes), at most 1; 0 when there are not two classes.

    Args:
        counts: completions by answer.
        classes: different answers that there could be.

    >>> evenness([2, 2], 4), evenness([4], 4), evenness([1], 1)
    (0.5, 0.0, 0.0)
    """
    if classes < 2:
        return 0.0
    size = sum(counts)
    entropy = math.fsum(count / size * math.log(size / count) for count in counts)
    return min(1.0, entropy / math.log(classes))
