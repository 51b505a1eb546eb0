"""The curves on top of the page: figures of each step, as a run's files have them, as lines of an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.browse.records import KeptGroup, parsed

Points = list[tuple[int, float]]
"""(step, figure), by step."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 170, 44, 10, 22
"""Pixels of a picture, and of its margins where numbers stand."""
MOST_POINTS = 300
"""Points of a line; where there are more, neighbours are averaged."""


@dataclass
class Panel:
    """A picture with a few lines."""

    title: str
    lines: list[tuple[str, str, bool]]
    """Name, points as an SVG writes them, whether they are few and shown as dots too."""
    ticks: list[tuple[float, str]]
    """Pixels from the top, and the number."""
    dots: list[list[tuple[float, float]]]
    """Of each line, its points, where they are few."""
    last: int
    """The step at the right end."""


@dataclass
class KeptFigures:
    """Means over the kept completions, by step."""

    sums: dict[int, list[float]] = field(default_factory=dict)
    """Step -> completions, tokens, truncated, unverifiable, correct."""

    def add(self, group: KeptGroup) -> None:
        """Count the completions of a group."""
        for one in group.completions:
            sums = self.sums.setdefault(group.step, [0.0] * 5)
            sums[0] += 1
            sums[1] += one.get("tokens", 0)
            sums[2] += one.get("finish_reason") == "length"
            sums[3] += one["verdict"] == "unverifiable"
            sums[4] += one["verdict"] == "correct"

    def means(self, place: int) -> Points:
        """Return a figure per completion, by step."""
        return [(step, sums[place] / sums[0]) for step, sums in sorted(self.sums.items())]


def panels(run_dir: Path, kept: KeptFigures) -> tuple[list[Panel], list[str]]:
    """Return the pictures, and sentences on damaged lines.

    Args:
        run_dir: with ``components.jsonl`` and ``curve.jsonl``, if it has them.
        kept: of its completions.
    """
    components, faults = _read(run_dir / "components.jsonl")
    held_out, more = _read(run_dir / "curve.jsonl")
    training: dict[str, Points] = {}
    for record in components:
        table = record.get("components")
        for name, own in table.items() if isinstance(table, Mapping) else ():
            mean = own.get("mean") if isinstance(own, Mapping) else None
            if isinstance(mean, int | float):
                training.setdefault(name, []).append((record["step"], float(mean)))

    def of(name: str) -> Points:
        return [(r["step"], float(r[name])) for r in held_out if isinstance(r.get(name), int | float)]

    accuracy = {"held out, greedy": of("accuracy"), "held out, sampled": of("sampled_accuracy")}
    if "accuracy" in training:
        accuracy["training"] = training["accuracy"]
    else:
        accuracy["kept completions"] = kept.means(4)
    drawn = {
        "accuracy": accuracy,
        "reward and its components": training,
        "tokens per completion": {"held out, greedy": of("length"), "kept completions": kept.means(1)},
        "share of kept completions": {"truncated": kept.means(2), "unverifiable": kept.means(3)},
    }
    last = max((points[-1][0] for lines in drawn.values() for points in lines.values() if points), default=0)
    return [panel(title, lines, last) for title, lines in drawn.items()], [*faults, *more]


def panel(title: str, lines: Mapping[str, Points], last: int) -> Panel:
    """Return a picture of lines; those without a finite point are left out.

    Args:
        title: of the picture.
        lines: by name.
        last: the step at its right end.

    >>> panel("accuracy", {"training": [(0, 0.0), (10, 1.0)]}, 10).lines
    [('training', '44.0,148.0 412.0,10.0', True)]
    """
    finite = {name: thinned([(x, y) for x, y in own if math.isfinite(y)]) for name, own in lines.items()}
    finite = {name: own for name, own in finite.items() if own}
    figures = [y for own in finite.values() for _, y in own] or [0.0, 1.0]
    low, high = min(0.0, *figures), max(*figures, 0.0)
    high = high if high > low else low + 1
    across, down = (WIDTH - LEFT - 8) / max(1, last), (HEIGHT - TOP - BOTTOM) / (high - low)

    def placed(point: tuple[float, float]) -> tuple[float, float]:
        return round(LEFT + point[0] * across, 1), round(TOP + (high - point[1]) * down, 1)

    dots = [[placed(point) for point in own] for own in finite.values()]
    drawn = [
        (name, " ".join(f"{x},{y}" for x, y in own), len(own) <= 20)
        for name, own in zip(finite, dots, strict=True)
    ]
    ticks = [
        (placed((0, low + part * (high - low)))[1], f"{low + part * (high - low):.2g}")
        for part in (0, 0.5, 1)
    ]
    return Panel(title, drawn, ticks, [own if len(own) <= 20 else [] for own in dots], last)


def thinned(points: Points) -> list[tuple[float, float]]:
    """Return the means of neighbours, of not more than ``MOST_POINTS`` runs of equal length, by step."""
    size = -(-len(points) // MOST_POINTS) or 1
    bins = [points[place : place + size] for place in range(0, len(points), size)]
    return [(sum(x for x, _ in own) / len(own), sum(y for _, y in own) / len(own)) for own in bins]


def _read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the whole records of a file of steps, by step, and sentences on its damaged lines."""
    records, faults = [], []
    for number, line in enumerate(_lines(path), 1):
        record = parsed(line)
        if record is not None and isinstance(record.get("step"), int):
            records.append(record)
        elif line.endswith(b"\n"):
            faults.append(f"line {number} of {path.name} is damaged: it is no JSON object with a `step`")
    return sorted(records, key=lambda record: record["step"]), faults


def _lines(path: Path) -> Iterable[bytes]:
    if path.is_file():
        with path.open("rb") as file:
            yield from file
