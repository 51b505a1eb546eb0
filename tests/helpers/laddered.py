"""Ladders of a scripted model: rows, recipes, tables of columns without a model."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
from PIL import Image

import runs
from observer.data import Jsonl
from observer.ladder import AskedModel, Measure, Recipe, Sort, Table, Verifiable
from observer.ladder.measured import ROW, Measured, write_columns
from observer.ladder.progress import Shown
from observer.rewards import Observe
from observer.rollout.scripted import ScriptedEngine

PLAIN = Observe(system_prompt="")
MODEL = AskedModel(runs.CHECKPOINT, ScriptedEngine(runs.MIXED), max_prompt_tokens=200, device="cpu")


class Silent(Shown):
    """Keeps the lines that a build would print."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def rows(folder, count, **fields):
    """A JSONL file of questions over pictures of their own; a field is a function of the row's number."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.jsonl").open("w") as file:
        for row in range(count):
            Image.new("RGB", (28, 28), (row % 256, 40, 90)).save(folder / f"{row}.png")
            record = {"id": f"r{row}", "question": f"How many in {row}?", "images": [f"{row}.png"]}
            record |= {"answer": str(row % 7)} | {name: value(row) for name, value in fields.items()}
            file.write(json.dumps(record) + "\n")
    return Jsonl(str(folder / "rows.jsonl"), keep_checked=False)


def measure(**options):
    return Measure(**{"responses": 4, "max_tokens": 64, "response_format": PLAIN, **options})


def recipe(source, *steps, **options):
    """A recipe of the scripted model: one response right, one wrong, one right and longer, one none."""
    steps = steps or (Verifiable(), measure(), Sort())
    return Recipe(source, steps, **{"model": MODEL, "chunk_rows": 4, **options})


def table(folder, source, **columns):
    """A table of all rows of a format with columns, as if steps had measured them."""
    opened = source.read()
    schema = pa.schema({ROW: pa.int64(), **{name: pa.array(values).type for name, values in columns.items()}})
    batch = pa.RecordBatch.from_pydict({ROW: list(range(len(opened))), **columns}, schema)
    path = folder / "columns.arrow"
    write_columns(path, schema, batch)
    return Table(opened, np.arange(len(opened)), [Measured([path])])


def files(folder):
    """Relative path -> bytes of all that a build has written, without its work."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("work", "parts")
    }


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
