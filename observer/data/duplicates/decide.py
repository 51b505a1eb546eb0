"""Decides on two rows that look alike: pictures, question and gold answer have to agree."""

from __future__ import annotations

from enum import StrEnum

from observer.data.duplicates.pixels import same_picture
from observer.data.duplicates.wording import gold_of, reworded, wording
from observer.refusal import still_there
from observer.types import Problem, Verdict
from observer.verifier.verify import ISOLATED, verify


class Relation(StrEnum):
    """What one row is to another."""

    DUPLICATE = "duplicate"
    """The same pictures, question and gold answer: one of the two is enough."""
    OTHER_GOLD = "other gold"
    """The same pictures and question, and another gold answer: one of the two may be wrong."""
    REWORDED = "reworded"
    """The same pictures and gold answer, and a question of nearly the same words and the same numbers."""
    UNRELATED = "unrelated"
    """Anything else: another question on one picture, another picture for one question."""


def relation(first: Problem, second: Problem) -> Relation:
    """Return what one row is to another; pictures are decoded only where question and gold leave it open.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    asked, also_asked = wording(first), wording(second)
    if asked == also_asked:
        found = Relation.DUPLICATE if agree(first, second) else Relation.OTHER_GOLD
    elif reworded(asked, also_asked) and agree(first, second):
        found = Relation.REWORDED
    else:
        return Relation.UNRELATED
    return found if _same_pictures(first, second) else Relation.UNRELATED


def agree(first: Problem, second: Problem) -> bool:
    """Return whether two gold answers are the same, in whatever notation.

    Formulas are compared as they are written: two that differ are left to people, as another gold answer.
    """
    if gold_of(first) == gold_of(second):
        return True
    if first.kind != second.kind or first.kind in ISOLATED or first.options or second.options:
        return False
    return all(
        verify(one.answer, other.answer, one.kind)[0] is Verdict.CORRECT
        for one, other in ((first, second), (second, first))
    )


def _same_pictures(first: Problem, second: Problem) -> bool:
    if len(first.pictures) != len(second.pictures):
        return False
    for one, other in zip(first.pictures, second.pictures, strict=True):
        with still_there(first):
            picture = one.load()
        with still_there(second):
            if not same_picture(picture, other.load()):
                return False
    return True
