"""Which rows are the same question twice, in one data set or in two? It drops nothing.

Signatures nominate: a perceptual hash of the pictures, MinHash of the question. Pixels, question and gold
answer decide. They need the extra ``ladder``.
"""

from observer.data.duplicates.decide import Relation, relation
from observer.data.duplicates.find import Found, find_copies, find_leaks
from observer.data.duplicates.signature import SIGNATURE, sign, write_signatures

__all__ = [
    "SIGNATURE",
    "Found",
    "Relation",
    "find_copies",
    "find_leaks",
    "relation",
    "sign",
    "write_signatures",
]
