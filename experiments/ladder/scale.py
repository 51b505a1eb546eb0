"""Memory and time of a ladder's build at several sizes, with an engine that answers from a script.

    python experiments/ladder/scale.py --rows 10000 100000 1000000 --json scale.json

Each size is built in a process of its own: rows are read through ``--format``, copies looked for,
``--responses`` of each row measured, rows reviewed, sorted and mixed, all files written. Eight rows share a
picture. Memory is anonymous (``RssAnon``), its peak in each phase; mapped files, which the system may drop at
any time, are not in it. Time is that of the processor, of all threads and of the processes that verify.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from observer.data import Columns, Jsonl, Message
from observer.data.columns.mapping import ColumnMap
from observer.data.rows import RowFormat
from observer.ladder import (
    AskedModel,
    Duplicates,
    LowComplexity,
    Measure,
    Mix,
    Recipe,
    Review,
    Sort,
    Verifiable,
)
from observer.ladder.building import build
from observer.ladder.progress import Shown
from observer.rewards import Observe
from observer.rollout.scripted import ScriptedEngine

SHARED = 8
"""Rows per picture."""
TEXTS = ["<think>a</think> <answer>{answer}</answer>", "<think>a b</think> <answer>99</answer>"]
PHASES = ("read", "Verifiable", "Duplicates", "Measure", "select", "write")
INTERVAL = 0.005
"""Seconds between two looks at the memory."""


def anonymous() -> int:
    """Return the bytes of anonymous memory of this process that are resident."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("RssAnon"))


def seconds() -> float:
    """Return the seconds of the processor of this process, and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Phases(Shown):
    """Notes the highest memory and the time of each phase of a build."""

    def __init__(self) -> None:
        super().__init__()
        self.peaks: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.before = anonymous()
        self._phase, self._began = "read", seconds()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            self.peaks[self._phase] = max(self.peaks.get(self._phase, 0), anonymous())

    def _next(self, phase: str) -> None:
        now = seconds()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._began
        self._phase, self._began = phase, now

    def begin(self, name: str, chunks: int, left: int) -> None:
        """Note that a step measures."""
        self._next(name)

    def chunk(self, rows: int, tokens: int) -> None:
        """Note nothing."""

    def end(self) -> None:
        """Note that a step selects, or the next measures."""
        self._next("select")

    def say(self, line: str) -> None:
        """Note that files are written."""
        if line.startswith("writing"):
            self._next("write")

    def close(self) -> None:
        """Stop looking."""
        self._next("")
        self._over.set()
        self._thread.join()


def source(folder: Path, rows: int, kind: str) -> RowFormat:
    """Write rows and their pictures; return the format that reads them."""
    for picture in range(-(-rows // SHARED)):
        below = folder / str(picture // 1000)
        below.mkdir(exist_ok=True)
        cells = np.random.default_rng(picture).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(cells).resize((28, 28), Image.Resampling.NEAREST).save(below / f"{picture}.png")
    names = [f"{row // SHARED // 1000}/{row // SHARED}.png" for row in range(rows)]
    asked = [f"How many are there of kind {row % SHARED} in box {row}?" for row in range(rows)]
    golds = [str(row % 97) for row in range(rows)]
    ids = [f"row-{row}" for row in range(rows)]
    path = str(folder / ("rows.parquet" if kind == "columns" else "rows.jsonl"))
    if kind == "columns":
        table = pa.table({"key": ids, "problem": asked, "picture": names, "gold": golds})
        pq.write_table(table, path, row_group_size=10_000)
        columns = ColumnMap(id="key", question="problem", pictures="picture", answer="gold")
        return Columns(path, columns=columns, keep_checked=False)
    with open(path, "w", encoding="utf-8") as file:
        for name, question, gold, key in zip(names, asked, golds, ids, strict=True):
            record = {"id": key, "question": question, "images": [name], "answer": gold}
            if kind == "message":
                items = [{"type": "image", "image": name}, {"type": "text", "text": question}]
                turns = [{"role": "user", "content": items}]
                record = {"id": key, "message": turns, "answer": gold}
            file.write(json.dumps(record) + "\n")
    return (Message if kind == "message" else Jsonl)(path, keep_checked=False)


def one(folder: Path, rows: int, kind: str, responses: int) -> dict[str, object]:
    """Build a ladder of so many rows; return what it took."""
    asked = AskedModel("observer:tiles", ScriptedEngine(TEXTS), max_prompt_tokens=200, device="cpu")
    measure = Measure(responses=responses, max_tokens=64, response_format=Observe(system_prompt=""))
    steps = (Verifiable(), Duplicates(), measure, LowComplexity(), Review(), Sort(), Mix(shares="ladder"))
    recipe = Recipe(source(folder, rows, kind), steps, asked)
    phases = Phases()
    manifest = build(recipe, folder / "ladder", shown=phases)
    phases.close()
    return {
        "rows": rows,
        "kept": manifest["rows"],
        "before": phases.before,
        "peaks": phases.peaks,
        "seconds": {name: round(value, 2) for name, value in phases.seconds.items()},
    }


def table(found: list[dict[str, object]]) -> str:
    """Return what was found as a table in Markdown."""
    lines = ["| rows | " + " | ".join(PHASES) + " | peak | bytes per row | CPU s | ms per row |"]
    lines.append("|" + "---:|" * (len(PHASES) + 5))
    first = found[0]
    for record in found:
        peaks = record["peaks"]
        cells = [f"{peaks[name] / 2**20:,.0f} MiB" for name in PHASES]
        most, used = max(peaks.values()), sum(record["seconds"].values())
        more = (most - max(first["peaks"].values())) / max(1, record["rows"] - first["rows"])
        each = "" if record is first else f"{more:,.0f}"
        cells += [f"{most / 2**20:,.0f} MiB", each, f"{used:,.0f}", f"{1000 * used / record['rows']:.2f}"]
        lines.append(f"| {record['rows']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Build each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--format", choices=("jsonl", "message", "columns"), default="jsonl")
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--scratch", type=Path, help="a folder with room: 1,000,000 rows take some 5 GB")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone is not None:
        record = one(given.alone, given.rows[0], given.format, given.responses)
        (given.alone / "found.json").write_text(json.dumps(record))
        return
    found = []
    for rows in given.rows:
        folder = Path(tempfile.mkdtemp(dir=given.scratch))
        try:
            same = ["--format", given.format, "--responses", str(given.responses)]
            command = [sys.executable, __file__, "--alone", str(folder), "--rows", str(rows), *same]
            caches = {"OBSERVER_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
            subprocess.run(command, check=True, env=os.environ | caches)
            found.append(json.loads((folder / "found.json").read_text()))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(folder)
        if given.json is not None:  # after each: the largest takes long
            about = {"format": given.format, "responses": given.responses}
            given.json.write_text(json.dumps(about | {"sizes": found}, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
