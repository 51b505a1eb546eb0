"""What scores are computed from: the verdicts of a benchmark's rows as arrays, without texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from observer.evaluation.extractors import EXTRACTORS
from observer.metrics.chains import CHAINS
from observer.statistics.majority import NOTHING, RIGHT
from observer.types import Verdict

ANSWERS, SCORES = "answers", "scores.json"
"""Of an evaluation's folder: a parquet file per benchmark, and all scores."""
GROUPS = ("subject", "level", "kind", "source")
"""By what scores are broken down."""
BATCH = 256
"""Rows of a parquet file that are held at a time."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The verdicts of P rows that were asked, N responses each beside the greedy one."""

    ids: list[str]
    """Of each row."""
    cluster_P: np.ndarray
    """Rows that show the same pictures have the same number."""
    greedy_P: np.ndarray
    """Whether the greedy response is right."""
    extracted_P_E: np.ndarray
    """The same by each of ``EXTRACTORS``, in their order."""
    labels_P_N: np.ndarray
    """Which answer each response gave: 0 the right one, above 0 the others, -1 none; see ``maj_at_k``."""
    formatted_P: np.ndarray
    """Whether the greedy response keeps the format."""
    truncated_P: np.ndarray
    """Whether it was cut at the limit."""
    unparsed_P: np.ndarray
    """Whether no answer was found in it."""
    unverifiable_P: np.ndarray
    """Whether no rule could check its answer."""
    tokens_P: np.ndarray
    """Its tokens."""
    groups: dict[str, list[str]]
    """One of ``GROUPS`` -> the group of each row."""
    faults: list[tuple[str, str, str]]
    """Place, id and reason of each row that could not be asked."""
    chains_P: dict[str, np.ndarray] = field(default_factory=dict)
    """One of ``CHAINS`` -> the figure of each greedy response, nan where it does not apply."""

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, ids: Collection[str]) -> Outcomes:
        """Return the outcomes of the other rows."""
        kept_P = np.array([one not in ids for one in self.ids], bool)
        values = {
            field.name: getattr(self, field.name)[kept_P]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        names = {group: list(compress(groups, kept_P.tolist())) for group, groups in self.groups.items()}
        chains = {name: values_P[kept_P] for name, values_P in self.chains_P.items()}
        ids = list(compress(self.ids, kept_P.tolist()))
        return replace(self, ids=ids, groups=names, chains_P=chains, **values)

    @property
    def right_P_N(self) -> np.ndarray:
        """Whether each response is right."""
        found: np.ndarray = self.labels_P_N == RIGHT
        return found


def read_outcomes(paths: Iterable[Path]) -> Outcomes:
    """Read the outcomes of finished chunks; texts are held for one chunk at a time."""
    rows: dict[str, list[Any]] = {name: [] for name in ("ids", "labels", *GROUPS)}
    figures: list[list[int]] = []
    chains: list[list[float | None]] = []
    faults: list[tuple[str, str, str]] = []
    place: dict[str, int] = {}
    for record in rows_of(paths, ("id", "place", "cluster", "fault", "greedy", "samples", *GROUPS)):
        if record["fault"]:
            faults.append((record["place"], record["id"], record["fault"]))
            continue
        greedy = record["greedy"]
        rows["ids"].append(record["id"])
        rows["labels"].append(labels(record["samples"]))
        chains.append([greedy["chain"][name] for name in CHAINS])
        for name in GROUPS:
            rows[name].append(str(record[name]))
        figures.append(
            [
                place.setdefault(record["cluster"], len(place)),
                _right(greedy),
                *(greedy[name] == Verdict.CORRECT for name in EXTRACTORS),
                greedy["formatted"],
                greedy["finish_reason"] == "length",
                greedy["extracted"] is None,
                greedy["verdict"] == Verdict.UNVERIFIABLE,
                greedy["tokens"],
            ]
        )
    found_P_F = np.array(figures, np.int64).reshape(len(figures), 7 + len(EXTRACTORS))
    cluster_P, greedy_P, *others = found_P_F.T
    extracted, flags, tokens_P = others[: len(EXTRACTORS)], others[len(EXTRACTORS) : -1], others[-1]
    formatted_P, truncated_P, unparsed_P, unverifiable_P = (flag_P.astype(bool) for flag_P in flags)
    return Outcomes(
        ids=rows["ids"],
        cluster_P=cluster_P,
        greedy_P=greedy_P.astype(bool),
        extracted_P_E=np.stack(extracted, axis=1).astype(bool),
        labels_P_N=np.array(rows["labels"] or [[]], np.int64)[: len(figures)],
        formatted_P=formatted_P,
        truncated_P=truncated_P,
        unparsed_P=unparsed_P,
        unverifiable_P=unverifiable_P,
        tokens_P=tokens_P,
        groups={name: rows[name] for name in GROUPS},
        faults=faults,
        chains_P=dict(zip(CHAINS, np.array(chains, np.float64).reshape(-1, len(CHAINS)).T, strict=True)),
    )


def labels(samples: Sequence[dict[str, Any]]) -> list[int]:
    """Return which answer each response gave: right ones are one answer, others are told apart by their text.

    >>> answers = [("correct", "4"), ("wrong", "5"), ("correct", "4.0"), ("wrong", None), ("wrong", " 5")]
    >>> labels([{"verdict": verdict, "extracted": text} for verdict, text in answers])
    [0, 1, 0, -1, 1]
    """
    place: dict[str, int] = {}
    found = []
    for one in samples:
        if _right(one):
            found.append(RIGHT)
        elif one["extracted"] is None:
            found.append(NOTHING)
        else:
            found.append(place.setdefault(" ".join(one["extracted"].split()).casefold(), len(place) + 1))
    return found


def _right(response: dict[str, Any]) -> bool:
    return bool(response["verdict"] == Verdict.CORRECT)


def rows_of(paths: Iterable[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield some columns of each row of finished chunks, in order; one chunk is held at a time.

    Args:
        paths: of chunks, or of the parquet files of a finished evaluation.
        columns: their names.
    """
    for path in paths:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH, columns=list(columns)):
                    yield from batch.to_pylist()
            continue
        with pa.memory_map(str(path)) as mapped:
            batch = pa.ipc.open_file(mapped).get_batch(0)
            yield from batch.select(list(columns)).to_pylist()
