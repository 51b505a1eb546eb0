"""Which rows are the same question twice, in one data set or in two? It drops nothing.

Signatures nominate: a perceptual hash of the pictures, MinHash of the question. Pixels, question and gold
answer decide. They need the extra ``ladder``.
"""

from typing import TYPE_CHECKING

from observer import on_demand

if TYPE_CHECKING:
    from observer.data.duplicates.decide import Relation, relation
    from observer.data.duplicates.find import Copies, Found, Leaks, find_copies, find_leaks
else:  # these need scipy, which takes a moment
    __getattr__, __dir__ = on_demand(
        __name__,
        Relation="observer.data.duplicates.decide",
        relation="observer.data.duplicates.decide",
        Copies="observer.data.duplicates.find",
        Found="observer.data.duplicates.find",
        Leaks="observer.data.duplicates.find",
        find_copies="observer.data.duplicates.find",
        find_leaks="observer.data.duplicates.find",
    )

from observer.data.duplicates.signature import SIGNATURE, sign, write_signatures

__all__ = [
    "SIGNATURE",
    "Copies",
    "Found",
    "Leaks",
    "Relation",
    "find_copies",
    "find_leaks",
    "relation",
    "sign",
    "write_signatures",
]
