"""Rows that are there twice: in one split, or in the training rows and in held-out ones.

Exact copies are found by the digests of pictures and the wording of questions. Near ones, pictures that were
resized or compressed anew and questions that were reworded, need the extra ``ladder``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observer.data.duplicates.decide import Relation, agree
from observer.doctor.findings import Check, Findings
from observer.doctor.split import Split
from observer.doctor.told import Told
from observer.refusal import shown
from observer.types import Problem

NEAR: dict[Relation, tuple[Check, str]] = {
    Relation.DUPLICATE: ("duplicate", "it is nearly {}, with the same answer; drop one of the two"),
    Relation.OTHER_GOLD: (
        "other gold",
        "it is nearly {}, whose answer is {gold}; one of the two may be wrong",
    ),
    Relation.REWORDED: ("reworded", "it asks in other words what {} asks; drop one of the two"),
}


class Copies:
    """Finds copies in splits that were measured, and notes them.

    Args:
        findings: takes what is found.
        told: how far it is.
    """

    def __init__(self, findings: Findings, told: Told) -> None:
        self._findings, self._told = findings, told
        self._known: set[tuple[str, int]] = set()
        """Rows that are noted already, by split."""

    def exact(self, split: Split) -> None:
        """Note rows that show the same pictures and ask the same as an earlier row of their split."""
        keys_R = _keys(split)
        rows_R, golds_R = np.frombuffer(split.measured, np.int64), np.frombuffer(split.golds, np.uint64)
        order = np.argsort(keys_R, kind="stable")
        new = np.ones(len(order), bool)
        new[1:] = keys_R[order[1:]] != keys_R[order[:-1]]
        first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
        for like, place in sorted(zip(first[~new].tolist(), order[~new].tolist(), strict=True)):
            row, other = split.rows[int(rows_R[place])], split.rows[int(rows_R[like])]
            if golds_R[place] == golds_R[like] or agree(other, row):
                said: tuple[Check, str] = "duplicate", f"it is {_of(other)} once more; drop one of the two"
            else:
                said = (
                    "other gold",
                    f"its answer is {shown(row.answer)}, and {_of(other)} asks the same with the answer "
                    f"{shown(other.answer)}; correct one of the two",
                )
            self._note(split, row, *said)

    def between(self, train: Split, held: Split) -> None:
        """Note held-out rows that show a picture of the training rows, or without one ask the same."""
        row_D, digest_D = train.digests()
        order = np.argsort(digest_D, kind="stable")
        asked = dict(zip(held.measured, held.asked, strict=True))
        trained = dict(zip(train.measured, train.asked, strict=True)) if len(row_D) else {}
        sorted_D = digest_D[order]
        for row, digest in zip(*held.digests(), strict=True):
            place = int(np.searchsorted(sorted_D, digest))
            if place == len(sorted_D) or sorted_D[place] != digest or (held.name, int(row)) in self._known:
                continue
            like = int(row_D[order[place]])
            problem, other = held.rows[int(row)], train.rows[like]
            if asked[int(row)] == trained[like]:
                what = f"it is {_of(other)} of data.{train.name} once more"
            elif problem.pictures:
                what = f"it shows a picture of data.{train.name}, that of {_of(other)}"
            else:
                continue
            self._note(held, problem, "leak", f"{what}; take it out of one of the two, or set val_fraction")

    def near(self, splits: Sequence[Split]) -> None:
        """Note near copies within each split, and those of training rows in held-out ones.

        Raises:
            LostInputError: a picture that was checked is gone or another one.
        """
        from observer.data.duplicates import find_copies, find_leaks, write_signatures

        with tempfile.TemporaryDirectory() as folder:
            made = {}
            for split in splits:
                rows = _Sound(split)
                path = Path(folder) / f"{split.name}.npy"
                with self._told.phase(f"data.{split.name}: looking for near copies", len(rows)):
                    made[split.name] = rows, write_signatures(self._counted(rows), len(rows), path)
            for split in splits:
                rows, signatures = made[split.name]
                with self._told.phase(f"data.{split.name}: comparing near copies"):
                    copies = find_copies(rows, signatures)
                for row in np.flatnonzero(copies.first_R != np.arange(len(rows))).tolist():
                    like = rows[int(copies.first_R[row])]
                    self._nearly(split, rows[row], like, Relation.DUPLICATE, "")
                for one in copies.doubtful:
                    self._nearly(split, rows[one.row], rows[one.like], one.relation, "")
                if split is not splits[0] and splits[0].name == "train":
                    train, known = made["train"]
                    with self._told.phase(f"data.{split.name}: looking for near copies in data.train"):
                        leaks = find_leaks(rows, signatures, train, known)
                    for one in leaks.found:
                        self._nearly(split, rows[one.row], train[one.like], one.relation, " of data.train")

    def _counted(self, rows: Iterable[Problem]) -> Iterator[Problem]:
        for problem in rows:
            yield problem
            self._told.advance()

    def _nearly(self, split: Split, row: Problem, like: Problem, relation: Relation, of: str) -> None:
        check, said = NEAR[relation]
        what = said.format(f"{_of(like)}{of}", gold=shown(like.answer))
        self._note(split, row, "leak" if of else check, what)

    def _note(self, split: Split, row: Problem, check: Check, what: str) -> None:
        if (split.name, row.row) not in self._known:
            self._known.add((split.name, row.row))
            self._findings.problem(split.name, row, what, check, "noted")
            split.show(row.row, check, what)


def can_be_near() -> bool:
    """Return whether the extra ``ladder`` is installed."""
    return all(find_spec(name) is not None for name in ("imagehash", "datasketch"))


def _of(problem: Problem) -> str:
    return f"row {shown(problem.id)} ({problem.source})"


class _Sound(Sequence[Problem]):
    """The rows of a split that are not bad; each keeps its number."""

    def __init__(self, split: Split) -> None:
        self._rows = split.rows
        self._kept_R = np.delete(np.arange(len(split.rows)), list(split.bad))

    def __len__(self) -> int:
        return len(self._kept_R)

    def __getitem__(self, place: Any) -> Any:
        return self._rows[int(self._kept_R[place])]


def _keys(split: Split) -> NDArray[np.uint64]:
    """Return a number for each measured row, equal for rows that show and ask the same."""
    rows_R = np.frombuffer(split.measured, np.int64)
    keys_R = np.frombuffer(split.asked, np.uint64).copy()
    row_D, digest_D = split.digests()
    order = np.argsort(row_D, kind="stable")
    row_D, digest_D = row_D[order], digest_D[order]
    place_D = np.arange(len(row_D)) - np.searchsorted(row_D, row_D)  # of a picture among those of its row
    mixed_D = (digest_D ^ (place_D.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
    np.add.at(keys_R, np.searchsorted(rows_R, row_D), mixed_D ^ mixed_D >> np.uint64(31))
    return keys_R
