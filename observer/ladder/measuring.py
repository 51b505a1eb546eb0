"""Measures what the steps of a recipe measure: chunk by chunk, what is finished is never done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from observer.data.fingerprints import digest
from observer.data.rows import Rows
from observer.ladder.asked import AskedModel
from observer.ladder.asking import Asker
from observer.ladder.chunks import ChunkFolder, Part
from observer.ladder.measured import ROW, Measured, read_columns, rows_of, write_columns
from observer.ladder.progress import Shown, finish
from observer.ladder.provenance import stated, versions
from observer.ladder.recipe import Recipe, asked_of
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep
from observer.ladder.table import Table
from observer.pages.decisions import Decision
from observer.types import RefusedError


class Measuring:
    """The chunks of a recipe in a folder.

    Steps that ask no model and come before those that do are measured whole, and what they select decides
    what the others measure. From the first step that asks, a chunk depends on the same chunk of earlier
    steps and on nothing else, so that parts need not know of each other.

    Args:
        recipe: what is built.
        rows: the opened input.
        folder: of the work.
        asker: makes what asks models, of the build's model and its seed.
    """

    def __init__(
        self, recipe: Recipe, rows: Rows, folder: Path, asker: Callable[[AskedModel, int], Asker]
    ) -> None:
        self.recipe = recipe
        self.rows = rows
        self.count = min(len(rows), recipe.limit or len(rows))
        self.folder = folder
        self.decided: dict[int, Decision] = {}
        """What people have decided on rows of the input."""
        for step in recipe.steps:
            self.decided |= step.decided(rows)
        self._asker = asker
        asking = [place for place, step in enumerate(recipe.steps) if step.asks]
        self.first = asking[0] if asking else len(recipe.steps)
        """The first step that asks a model."""
        self.input = {
            "format": type(recipe.rows).__name__,
            "rows": self.count,
            "digest": digest(rows.fingerprints()[: self.count]),
        }

    def asker(self) -> Asker:
        """Return what asks models, none of which is loaded yet."""
        return self._asker(self.recipe.model, self.recipe.seed)

    def chunks(self, step: BuildStep) -> ChunkFolder:
        """Return the folder of a step's chunks."""
        return ChunkFolder(self.folder / type(step).__name__, self.count, self.recipe.chunk_rows)

    def made(self, place: int) -> dict[str, Any]:
        """Return what the chunks of a step depend on."""
        steps = self.recipe.steps
        before = [step for at, step in enumerate(steps[:place]) if at < self.first or step.by_row]
        found = {
            "input": self.input,
            "chunk_rows": self.recipe.chunk_rows,
            "steps": [stated(step) for step in (*before, steps[place])],
            "versions": versions(),
        }
        if any(step.asks for step in (*before, steps[place])):
            found |= {"seed": self.recipe.seed, "model": stated(self.recipe.model)}
        return found

    def own(self, place: int, part: Part | None) -> range:
        """Return the chunks of a step that are a part's: all of a step before the first that asks a model."""
        mine = part if place >= self.first and part is not None else Part()
        return mine.chunks(len(self.chunks(self.recipe.steps[place])))

    def left(self, place: int, part: Part | None) -> list[int]:
        """Return those of them that are not finished; none of a step that measures nothing."""
        step = self.recipe.steps[place]
        return self.chunks(step).missing(self.own(place, part)) if step.measures else []

    def refuse_other(self) -> None:
        """Refuse a folder that holds chunks of something else.

        Raises:
            RefusedError: names the folder and what differs.
        """
        for place, step in enumerate(self.recipe.steps):
            if step.measures and self.chunks(step).begun:
                self.chunks(step).refuse_other(self.made(place))

    def claim(self) -> None:
        """Take the folder for this recipe, before anything is measured.

        Raises:
            RefusedError: it holds chunks of something else.
        """
        made = {place: self.made(place) for place, step in enumerate(self.recipe.steps) if step.measures}
        for place, depends in made.items():
            self.chunks(self.recipe.steps[place]).claim(depends)

    def select(self, step: BuildStep, table: Table) -> Selection:
        """Let a step select from all rows; its reasons must be read before the table goes on with it."""
        if step.measures:
            chunks = self.chunks(step)
            table.add(Measured(map(chunks.file, range(len(chunks)))))
        return step.select(table)

    def measure(
        self, place: int, part: Part | None, rows_N: np.ndarray, shown: Shown, stopped: Callable[[], bool]
    ) -> None:
        """Measure what is missing of a step; a step that measures nothing has nothing to do.

        Args:
            place: of the step.
            part: the share of the chunks that ask a model; None for all.
            rows_N: the rows that earlier steps have left, ascending.
            shown: is told of each chunk.
            stopped: whether to stop after this chunk.

        Raises:
            KeyboardInterrupt: it was stopped; what is finished is kept.
        """
        step, name = self.recipe.steps[place], type(self.recipe.steps[place]).__name__
        if not step.measures:
            return
        chunks, own = self.chunks(step), self.own(place, part)
        missing = sorted({*self.left(place, part), *self._lacking(place, chunks, own, rows_N)})
        asker = self.asker()

        def measure(chunk: int) -> int:
            before = asker.tokens
            asked_N = self._left(place, chunk, chunks.among(chunk, rows_N))
            self._write(step, chunks.file(chunk), asked_N, asker)
            return asker.tokens - before

        try:
            finish(name, chunks, len(own), missing, measure, shown, stopped)
        finally:
            asker.close()

    def _lacking(self, place: int, chunks: ChunkFolder, own: range, rows_N: np.ndarray) -> list[int]:
        """Return the finished chunks without a row that a decision has brought back since."""
        kept = {row for row, decision in self.decided.items() if decision.choice != "drop"}
        found = []
        for chunk in sorted({row // self.recipe.chunk_rows for row in kept} & set(own)):
            if (file := chunks.file(chunk)).is_file():
                asked_N = self._left(place, chunk, chunks.among(chunk, rows_N))
                if not kept.intersection(asked_N.tolist()) <= set(rows_of(file).tolist()):
                    found.append(chunk)
        return found

    def _left(self, place: int, chunk: int, rows_N: np.ndarray) -> np.ndarray:
        """Return the rows of a chunk that are still in when a step measures it."""
        table = Table(self.rows, rows_N, decided=self.decided)
        for step in self.recipe.steps[self.first : place]:
            if step.measures:
                table.add(Measured([self.chunks(step).file(chunk)]))
            if step.by_row and len(table):
                table.apply(step.select(table))
        return np.sort(table.rows_N)

    def _write(self, step: BuildStep, path: Path, rows_N: np.ndarray, asker: Asker) -> None:
        """Measure rows and write their columns: the file is there once all of them are.

        Rows that it has already are not measured again, with whatever gold answer: a decision changes none.
        """
        before = read_columns(path) if path.is_file() else None
        if before is not None:
            rows_N = np.setdiff1d(rows_N, rows_of(path))
        schema = pa.schema({ROW: pa.int64(), **step.measures})
        problems = [self.rows[int(row)] for row in rows_N]
        values = step.measure(problems, asker) if problems else {name: [] for name in step.measures}
        if values.keys() != step.measures.keys():
            raise TypeError(
                f"{type(step).__name__}.measure returned {sorted(values)}; it must return "
                f"{sorted(step.measures)}"
            )
        batch = pa.RecordBatch.from_pydict({ROW: rows_N, **values}, schema)
        if before is not None:
            batch = pa.Table.from_batches([before, batch]).sort_by(ROW).combine_chunks().to_batches()[0]
        write_columns(path, schema, batch)

    def refuse_unfinished(self, parts: Sequence[Part]) -> None:
        """Refuse to put together what is not all there.

        Args:
            parts: those that were found, for the message.

        Raises:
            RefusedError: names the step, its missing chunks and, where parts are known, whose they are.
        """
        for step in self.recipe.steps:
            chunks = self.chunks(step)
            if step.measures and (missing := chunks.missing(range(len(chunks)))):
                owners = {str(part) for part in parts if set(part.chunks(len(chunks))) & set(missing)}
                lost = {str(Part(at + 1, of)) for of in {p.parts for p in parts} for at in range(of)}
                lost -= {str(part) for part in parts}
                told = f"; unfinished: {', '.join(sorted(owners))}" if owners else ""
                told += f"; not there: {', '.join(sorted(lost))}" if lost else ""
                raise RefusedError(
                    f"{type(step).__name__}: {len(missing)} of {len(chunks)} chunks are missing, the first "
                    f"is {missing[0]}{told}; run observer ladder build --part for those that are missing"
                )


def named_models(recipe: Recipe) -> dict[str, Any]:
    """Return step -> the models that it asks, as builtins."""
    return {
        type(step).__name__: [stated(model) for model in asked_of(step) or [recipe.model]]
        for step in recipe.steps
        if step.asks
    }
