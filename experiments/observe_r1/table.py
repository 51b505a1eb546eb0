"""The table of the experiment, from what the evaluations have written; a cell that was not run says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observer.evaluation.comparison.tables import signed
from observer.evaluation.intervals import interval_text

NOT_RUN = "not run"
BENCHMARKS = {
    "math_vista": "MathVista testmini *",
    "math_verse": "MathVerse testmini *",
    "math_vision": "MathVision",
    "we_math": "We-Math testmini",
    "mmmu": "MMMU validation",
    "mm_bench": "MMBench dev, all orders *",
    "mm_star": "MMStar",
    "geometry3k": "Geometry3K test",
    "clevr_counting": "SuperCLEVR counting",
}
"""Benchmark of eval.yaml -> how it is called; a star: the official score asks a judge model."""
OWN_RULES = {
    "math_vista": ("MathVista, its own rounding *", "accuracy"),
    "we_math": ("We-Math, strict average", "average strict"),
    "mm_bench": ("MMBench, circular *", "circular"),
}
"""Benchmark -> what its own rule's figure is called here and in ``scores.json``."""
OTHER_QUESTION = "shows the same picture"
"""How a row is related to one of the ladder that only shows its picture, as ``scores.json`` says it."""
NOTES = (
    "Greedy accuracy by the verifier of training, with its 95 % interval over rows, clustered by picture; "
    "change: paired over rows.",
    "\\* rule-based, not the official judged score.",
)

Scores = dict[str, dict[str, Any]]


def written(runs: Path) -> str:
    """Write the table of a folder of runs to ``table.md`` in it, and return it."""
    sizes = ["3b", "7b", *(["tiny"] if (runs / "tiny").is_dir() else [])]
    lines = list(table(runs, sizes))
    runs.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines)
    (runs / "table.md").write_text(text + "\n", encoding="utf-8")
    return text


def table(runs: Path, sizes: list[str]) -> Iterator[str]:
    """Yield the lines of the table, in Markdown.

    Args:
        runs: holds a folder per size, with ``base``, ``trained`` and ``compare.json``.
        sizes: of the columns.
    """
    heads = [f"{size} {what}" for size in sizes for what in ("base", "trained", "change")]
    yield f"| greedy accuracy | {' | '.join(heads)} |"
    yield "|---" * (1 + len(heads)) + "|"
    found = {size: [_read(runs / size / name) for name in _FILES] for size in sizes}
    for name, title in BENCHMARKS.items():
        yield _line(title, [_cells(name, *found[size]) for size in sizes])
    for name, (title, figure) in OWN_RULES.items():
        yield _line(title, [_own_cells(name, figure, *found[size]) for size in sizes])
    yield ""
    yield from NOTES
    for size in sizes:
        yield from _shared(size, *found[size][:2])


_FILES = ("base/scores.json", "trained/scores.json", "compare.json")


def _read(path: Path) -> Scores:
    """Return what a file holds by benchmark; nothing of one that is not there."""
    held: Scores = json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if path.is_file() else {}
    return held


def _line(title: str, sizes: list[list[str]]) -> str:
    return f"| {title} | {' | '.join(cell for cells in sizes for cell in cells)} |"


def _cells(name: str, base: Scores, trained: Scores, compared: Scores) -> list[str]:
    """Return base, trained and change of a benchmark; rows that were trained on are no measurement."""
    one = interval_text(base[name]["greedy"]) if name in base else NOT_RUN
    if name not in trained:
        return [one, NOT_RUN, NOT_RUN]
    if count := len(_trained_on(trained[name])):
        return [one, f"trained on {count} of its {trained[name]['rows']} rows", ""]
    change = signed(compared[name]["pairs"][0]["greedy"]["difference"]) if name in compared else NOT_RUN
    return [one, interval_text(trained[name]["greedy"]), change]


def _own_cells(name: str, figure: str, base: Scores, trained: Scores, compared: Scores) -> list[str]:
    """Return what a benchmark's own rule says, which has no paired difference."""
    one, two = (
        interval_text(each[name]["scoring"]["figures"].get(figure)) if name in each else NOT_RUN
        for each in (base, trained)
    )
    if name in trained and _trained_on(trained[name]):
        two = "trained on"
    return [one, two, "" if name in compared else NOT_RUN]


def _trained_on(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that the ladder shows and asks, as they are or nearly."""
    return [row for row in scores["leaks"]["rows"] if row["how"] != OTHER_QUESTION]


def _shared(size: str, base: Scores, trained: Scores) -> Iterator[str]:
    """Yield a line for each benchmark of which the ladder shows pictures with other questions."""
    for name, scores in trained.items():
        count = len(scores["leaks"]["rows"])
        if count and not _trained_on(scores) and name in base:
            rest = [each[name].get("without_leaks") for each in (base, trained)]
            told = [interval_text(one["greedy"]) if one else "no row is left" for one in rest]
            yield (
                f"{size}, {BENCHMARKS[name]}: {count} rows show a picture of the ladder, with another "
                f"question; without them {told[0]} and {told[1]}."
            )
