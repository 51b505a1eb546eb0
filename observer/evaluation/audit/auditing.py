"""The grounding audit of a benchmark: does the model look, and does it go on from what it has seen?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from observer.evaluation.asking import Examination
from observer.evaluation.audit.altered import partners
from observer.evaluation.audit.probing import CONDITIONS, Probe, Probed, probed
from observer.evaluation.intervals import DIGITS, estimate, score
from observer.evaluation.outcomes import rows_of
from observer.evaluation.recipe import Audit
from observer.ladder.chunks import ChunkFolder
from observer.ladder.measured import ROW, write_columns
from observer.ladder.progress import Shown, finish
from observer.ladder.provenance import stated
from observer.seeding import stable_seed
from observer.types import Verdict

if TYPE_CHECKING:
    from observer.answering import Answerer

AUDIT = "audit"
"""Of an evaluation's folder, a folder of what was asked anew; also in the names of those of its chunks."""
ASKED = {"given": pa.string(), "text": pa.string(), "extracted": pa.string(), "verdict": pa.string()}
COLUMNS = {
    ROW: pa.int64(),
    "id": pa.string(),
    "place": pa.string(),
    "cluster": pa.string(),
    "partner": pa.string(),
    "right": pa.string(),
    **{condition: pa.struct(ASKED) for condition in CONDITIONS},
}
"""What is kept of a row. ``partner``: the row whose picture and observation it is shown, null if none will
do. ``right``: the verdict with the right picture. A condition that does not apply is null; ``given`` is the
beginning that the model went on from."""
AUDIT_SCHEMA = pa.schema(COLUMNS)


class Auditing:
    """Rows of a benchmark asked anew, each with one thing changed.

    Args:
        audit: how many rows are asked.
        name: of the benchmark.
        exam: the benchmark; its greedy responses are those with the right picture.
        folder: of the chunks.
    """

    def __init__(self, audit: Audit, name: str, exam: Examination, folder: Path) -> None:
        self._audit, self._name, self._exam, self._folder = audit, name, exam, folder
        self._sampling = exam.greedy_sampling

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What was kept of the rows that are audited, drawn from those with pictures that could be asked."""
        paths = [self._exam.chunks.file(chunk) for chunk in range(len(self._exam.chunks))]
        able = [record[ROW] for record in rows_of(paths, (ROW, "pictures", "fault")) if _able(record)]
        rng = np.random.default_rng(stable_seed(self._sampling.seed, "audit"))
        drawn = set(np.array(able, np.int64)[rng.permutation(len(able))[: self._audit.rows]].tolist())
        columns = (ROW, "id", "place", "cluster", "greedy")
        return [record for record in rows_of(paths, columns) if record[ROW] in drawn]

    @cached_property
    def chunks(self) -> ChunkFolder:
        """The finished chunks; read when the benchmark is.

        Raises:
            RefusedError: the folder holds those of another audit.
        """
        found = ChunkFolder(self._folder, len(self.rows), self._exam.chunk_rows)
        found.claim(self.made)
        return found

    @property
    def made(self) -> dict[str, Any]:
        """What the answers depend on, as builtins."""
        return {"audit": stated(self._audit), "exam": self._exam.made}

    @property
    def missing(self) -> list[int]:
        """The chunks that are not finished; while the benchmark is not, the first."""
        return [0] if self._exam.missing else self.chunks.missing(range(len(self.chunks)))

    def run(self, answerer: Answerer, shown: Shown, stopped: Callable[[], bool]) -> None:
        """Ask what is missing.

        Raises:
            KeyboardInterrupt: it was stopped; what is finished is kept.
        """
        missing = self.missing
        problems = [self._exam.rows[record[ROW]] for record in self.rows] if missing else []
        others = partners(problems, answerer.rubric.verifier, self._sampling.seed)

        def ask(chunk: int) -> int:
            probes, records = [], []
            for place in self.chunks.range(chunk):
                other = others[place]
                partner = None if other is None else problems[other]
                text = "" if other is None else self.rows[other]["greedy"]["text"]
                own = self.rows[place]["greedy"]["text"]
                probes.append(Probe(problems[place], own, partner, text))
                records.append(self._about(self.rows[place], None if partner is None else partner.id))
            answers = probed(probes, answerer, self._sampling)
            records = [
                record | {name: _kept(answer.get(name)) for name in CONDITIONS}
                for record, answer in zip(records, answers, strict=True)
            ]
            batch = pa.RecordBatch.from_pylist(records, AUDIT_SCHEMA)
            write_columns(self.chunks.file(chunk), AUDIT_SCHEMA, batch)
            return sum(len(one.completion.ids) for each in answers for one in each.values())

        finish(f"{self._name}, audit", self.chunks, len(self.chunks), missing, ask, shown, stopped)

    def _about(self, record: dict[str, Any], partner: str | None) -> dict[str, Any]:
        about = {name: record[name] for name in (ROW, "id", "place", "cluster")}
        return about | {"partner": partner, "right": record["greedy"]["verdict"]}

    def paths(self) -> list[Path]:
        """Return the files of the chunks, all finished."""
        return [self.chunks.file(chunk) for chunk in range(len(self.chunks))]


def _able(record: dict[str, Any]) -> bool:
    return bool(record["pictures"]) and not record["fault"]


def _kept(answer: Probed | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    found = answer.score
    return {
        "given": answer.given,
        "text": answer.completion.text,
        "extracted": found.extracted,
        "verdict": str(found.verdict),
    }


def audit_scores(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the scores of an audit; None where no row has a picture.

    Each condition has ``accuracy`` and ``change``, the paired difference to the right picture on the same
    rows, as ``[mean, low, high]``; intervals as those of all scores. A condition without rows is left out.

    Args:
        records: what is kept of each row.
    """
    if not records:
        return None
    place: dict[str, int] = {}
    cluster_P = np.array([place.setdefault(record["cluster"], len(place)) for record in records])
    right_P = np.array([record["right"] == Verdict.CORRECT for record in records], np.float64)
    found: dict[str, Any] = {
        "rows": len(records),
        "without_partner": sum(record["partner"] is None for record in records),
        "right": score(right_P, cluster_P),
        "conditions": {},
    }
    for name in CONDITIONS:
        at_P = np.array([record[name] is not None for record in records])
        if at_P.any():
            right = [one[name]["verdict"] == Verdict.CORRECT for one in records if one[name] is not None]
            change = estimate(np.array(right, np.float64) - right_P[at_P], cluster_P[at_P], (-1.0, 1.0))
            found["conditions"][name] = {
                "rows": int(at_P.sum()),
                "accuracy": score(np.array(right), cluster_P[at_P]),
                "change": [round(value, DIGITS) for value in (change.mean, *change.interval())],
            }
    return found
