"""Writes a ladder: rows to train on, columns, the control, the review list, the manifest, the card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from observer.data.checks.cache import file_digest
from observer.data.formats.ladder import COLUMNS, CONTROL, LADDER, MANIFEST, REVIEW
from observer.ladder.measuring import Measuring, named_models
from observer.ladder.output.answers import Answers
from observer.ladder.output.card import card
from observer.ladder.output.parquet import parquet
from observer.ladder.output.pictures import PictureFolder
from observer.ladder.output.rows import level_of, message_row
from observer.ladder.provenance import stated, versions
from observer.ladder.selecting import Selecting
from observer.policy.allocation import return_freed_memory
from observer.run.files import whole_file, write_json
from observer.seeding import stable_seed
from observer.types import Problem

REMOVED, CARD = "removed.jsonl", "card.md"
LEFT_OUT = ("samples", "fault")
"""Columns that are not in the parquet file: responses, for a review, and faults, which no row of it has."""
NAMED = 65_536
"""Rows whose pictures are not decoded again for the control or the review: some 200 bytes each."""
FAULT = "fault"
"""The end of the name of a column that says why a row cannot be asked."""


class Writing:
    """Writes what was selected.

    Args:
        measuring: whose columns are finished.
        selected: the rows, in their order.
        folder: of the ladder.
    """

    def __init__(self, measuring: Measuring, selected: Selecting, folder: Path) -> None:
        self._measuring, self._selected, self._folder = measuring, selected, folder
        self._table, self._source = selected.table, measuring.rows
        self._pictures = PictureFolder(folder)
        self._names = lru_cache(NAMED)(lambda row: self._pictures.names(self._source[row]))
        self._measured = {
            name: kind
            for step in measuring.recipe.steps
            for name, kind in step.measures.items()
            if not name.endswith(LEFT_OUT) and not pa.types.is_fixed_size_binary(kind)
        }

    def write(self) -> dict[str, Any]:
        """Write all files, the manifest last; return it."""
        recipe = self._measuring.recipe
        (self._folder / MANIFEST).unlink(missing_ok=True)
        provenance = {
            "recipe": [stated(step) for step in recipe.steps],
            "models": named_models(recipe),
            "seed": recipe.seed,
            "input": self._measuring.input,
            "versions": versions(),
        }
        return_freed_memory()
        figures = self._write_ladder(provenance)
        control = self._write_control()
        review = self._write_review()
        figures["answers"] |= {"control": control.record(), "input": self._spread()}
        manifest = provenance | {
            "licence": recipe.licence,
            "stages": [vars(stage) for stage in self._selected.stages],
            **figures,
            "review": review,
            "pictures": self._pictures.settle(),
        }
        with whole_file(self._folder / CARD) as file:
            file.write(card(manifest))
        files = (LADDER, COLUMNS, CONTROL, REVIEW, REMOVED, CARD)
        manifest["files"] = {name: file_digest(self._folder / name) for name in files}
        write_json(self._folder / MANIFEST, manifest)
        return manifest

    def _write_ladder(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Write the rows and their columns in one pass; return figures of them."""
        answers, levels, sources = Answers(), Counter[int](), Counter[str]()
        added = {name: values for name, values in self._table.added.items()}
        columns = {
            **{name: kind for name, kind in self._measured.items() if name not in added},
            **{
                name: pa.int64() if values.dtype.kind in "iu" else pa.float64()
                for name, values in added.items()
            },
        }
        with ExitStack() as stack:
            lines = stack.enter_context(whole_file(self._folder / LADDER))
            table = stack.enter_context(parquet(self._folder / COLUMNS, columns, provenance))
            for place, row in enumerate(map(int, self._table.rows_N)):
                record = self._record(row) | {name: values[place].item() for name, values in added.items()}
                problem, names = self._table.problem(row), self._names(row)
                line = self._line(problem, names, row, record)
                _write_line(lines, line)
                table.write(_own(problem, row, names, line) | record)
                answers.add(problem, line["answer"])
                sources[line["metadata"]["source"]] += 1
                if "level" in line:
                    levels[line["level"]] += 1
        return {
            "rows": len(self._table),
            "levels": {str(level): count for level, count in sorted(levels.items())},
            "sources": dict(sorted(sources.items())),
            "answers": {"ladder": answers.record()},
        }

    def _record(self, row: int) -> dict[str, Any]:
        return self._table.record(row, list(self._measured))

    def _line(
        self, problem: Problem, names: list[str], row: int, measured: Mapping[str, Any]
    ) -> dict[str, Any]:
        source = self._source.source_name(row)
        return message_row(problem, names, measured, source)

    def _write_control(self) -> Answers:
        """Write as many rows of the input as the ladder has, drawn at random from all that can be asked."""
        answers, written = Answers(), 0
        shown = [name for name in ("difficulty", "complexity") if name in self._measured]
        with whole_file(self._folder / CONTROL) as lines:
            for row in self._usable():
                if written == len(self._table):
                    break
                problem = self._table.problem(row)
                line = self._line(problem, self._names(row), row, self._table.record(row, shown))
                _write_line(lines, line)
                answers.add(problem, line["answer"])
                written += 1
        return answers

    def _usable(self) -> Iterator[int]:
        """Yield the rows of the input that can be trained on, in random order."""
        faults = [
            name for step in self._measuring.recipe.steps for name in step.measures if name.endswith(FAULT)
        ]
        seed = stable_seed(self._measuring.recipe.seed, "ladder control")
        order_N = np.random.default_rng(seed).permutation(np.flatnonzero(self._selected.usable_R))
        for row in map(int, order_N):
            if not any(self._table.record(row, faults).values()):
                yield row

    def _write_review(self) -> int:
        """Write the rows that a person should look at, with what was sampled; return how many."""
        with whole_file(self._folder / REVIEW) as lines:
            for row, step, why in self._selected.review:
                problem = self._table.problem(row)
                record = self._record(row)
                line = self._line(problem, self._names(row), row, record)
                samples = self._table.record(row, ["samples"])["samples"]
                extra = {"row": row, "step": step, "why": why, "question": problem.question}
                _write_line(lines, line | extra | {"measured": record, "samples": samples or []})
        return len(self._selected.review)

    def _spread(self) -> dict[str, Any]:
        answers = Answers()
        for row in range(self._measuring.count):
            answers.add(self._source[row])
        return answers.record()


def _own(problem: Problem, row: int, pictures: list[str], line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": problem.id,
        "row": row,
        "source": line["metadata"]["source"],
        "message": line["message"],
        "question": problem.question,
        "answer": line["answer"],
        "kind": problem.kind,
        "options": list(problem.options),
        "pictures": pictures,
        "metadata": json.dumps(line["metadata"], ensure_ascii=False, sort_keys=True),
        "level": line.get("level"),
    }


def _write_line(file: Any, record: Mapping[str, Any]) -> None:
    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def level_shares(levels: Mapping[str, int]) -> list[float]:
    """Return the share of each level, 0 .. 8.

    >>> level_shares({"0": 1, "8": 3})[::8]
    [0.25, 0.75]
    """
    total = max(sum(levels.values()), 1)
    return [levels.get(str(level), 0) / total for level in range(level_of(1.0) + 1)]
