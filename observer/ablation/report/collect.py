"""The runs of a grid: what is complete, what is missing and why, and the outcomes per problem of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from observer.ablation.grid import RECORD, Grid, Run
from observer.ablation.report.curves import Point, read_curve
from observer.metrics.outcomes import FILE, read_outcomes
from observer.refusal import printable
from observer.statistics import pass_at_k
from observer.types import RefusedError, Verdict

ENVIRONMENT = "environment.json"
COMPLETE = "complete"
MEASURES = {"accuracy": "verdict", "format": "formatted", "length": "length", "truncated": "truncated"}
"""Figure of a problem -> the column of the outcomes that it is read from."""
TAIL = 4096
"""Bytes of the end of a log in which the message of a run that failed is looked for."""


@dataclass(frozen=True)
class Problems:
    """The held-out problems, the same in every run."""

    ids: tuple[str, ...]
    pictures: tuple[str, ...]
    levels_P: np.ndarray
    clusters_P: np.ndarray
    """Problems of one picture have one number: their outcomes are not independent."""

    @cached_property
    def clusters(self) -> int:
        """How many problems differ in their picture."""
        return len(np.unique(self.clusters_P))


@dataclass(frozen=True)
class Measured:
    """A run that is complete."""

    run: Run
    figures: Mapping[str, np.ndarray]
    """Name -> its value for each problem, shape (P,); of sampled answers the mean over the samples."""
    curve: tuple[Point, ...]
    summary: Mapping[str, Any]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Missing:
    """A run without figures, and why."""

    run: Run
    status: str
    error: str


@dataclass(frozen=True)
class Collected:
    """All that the report is computed from."""

    grid: Grid
    problems: Problems
    measured: Mapping[tuple[str, int], Measured]
    """(variant, seed) -> its run."""
    missing: tuple[Missing, ...]
    recorded: Mapping[str, Any] = field(default_factory=dict)
    """The grid file as it was when its runs were last started; empty if that is not known."""
    figures: tuple[str, ...] = field(default=())
    """Names of the figures that every complete run has."""

    def seeds(self, *variants: str) -> tuple[int, ...]:
        """Return the seeds whose runs of all these variants are complete."""
        return tuple(
            seed for seed in self.grid.seeds if all((variant, seed) in self.measured for variant in variants)
        )

    def values(self, variant: str, seeds: tuple[int, ...], figure: str) -> np.ndarray:
        """Return a figure of a variant, shape (S, P)."""
        return np.stack([self.measured[variant, seed].figures[figure] for seed in seeds])


def collect(grid: Grid, output: Path) -> Collected:
    """Read the runs of a grid.

    Args:
        grid: what was planned.
        output: the folder of its runs.

    Raises:
        RefusedError: no run is complete, a file is not as a run writes it, or held-out problems differ.
    """
    measured: dict[tuple[str, int], Measured] = {}
    missing: list[Missing] = []
    problems: Problems | None = None
    first = ""
    for run in grid.runs(output):
        summary = _json(run.folder / "summary.json")
        if why := _unfinished(run, summary):
            missing.append(why)
            continue
        found, figures = _outcomes(run.folder / FILE)
        if problems is None:
            problems, first = found, run.name
        elif (found.ids, found.pictures) != (problems.ids, problems.pictures):
            raise RefusedError(_differ(run.name, found, first, problems))
        measured[run.variant, run.seed] = Measured(
            run, figures, read_curve(run.folder / "curve.jsonl"), summary, _json(run.folder / ENVIRONMENT)
        )
    if problems is None:
        said = "; ".join(f"{one.run.name}: {one.status}" for one in missing[:3])
        raise RefusedError(
            f"{printable(output)} holds no complete run of grid {printable(grid.name)} ({said}); "
            "run the grid with `observer ablate run`"
        )
    shared = set.intersection(*({*one.figures} for one in measured.values()))
    names = tuple(name for name in next(iter(measured.values())).figures if name in shared)
    return Collected(grid, problems, measured, tuple(missing), _record(output / RECORD), names)


def _unfinished(run: Run, summary: Mapping[str, Any]) -> Missing | None:
    """Return why a run has no figures; None if it has."""
    status = str(summary.get("status", "not started"))
    if status != COMPLETE:
        said = str(summary.get("error") or _last_line(run.log))
        if status == "running":
            status = "running or killed"
        return Missing(run, "failed" if status == "not started" and said else status, said)
    if not (run.folder / FILE).is_file():
        return Missing(run, "not measured", f"complete, but without {FILE}: is data.test set?")
    return None


def _last_line(log: Path) -> str:
    """Return the last line of a run's log, which says why it ended where its summary does not."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", "replace").split("\n")
    printed = [line.strip() for line in lines if line.strip() and not line.startswith("$ ")]
    own = [line for line in printed if line.startswith("observer: ")]
    return (own or printed or [""])[-1].removeprefix("observer: ")


def _record(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RefusedError(f"{printable(path)} is no JSON ({error}); the run must be made anew") from error
    if not isinstance(record, dict):
        raise RefusedError(f"{printable(path)} holds no record; the run must be made anew")
    return record


def _outcomes(path: Path) -> tuple[Problems, dict[str, np.ndarray]]:
    """Return the problems of a file of outcomes, and the figures of each."""
    table = read_outcomes(path).drop_columns(["text"])
    greedy = table.filter(pa.compute.equal(table["mode"], "greedy"))
    sampled = table.filter(pa.compute.equal(table["mode"], "sampled"))
    ids, pictures = greedy["id"].to_pylist(), greedy["picture"].to_pylist()
    count = len(ids)
    samples, rest = divmod(len(sampled), count) if count else (0, 0)
    matches = [one for one in ids for _ in range(samples)] == sampled["id"].to_pylist()
    numbers = (
        (sampled["sample"].to_numpy() == np.tile(np.arange(samples), count)).all() if not rest else False
    )
    if not count or rest or not matches or not numbers:
        raise RefusedError(
            f"{printable(path)} does not hold one greedy answer per problem and equally many sampled ones, "
            "in their order; the run must be made anew"
        )
    figures = {name: _values(greedy, column) for name, column in MEASURES.items()}
    if samples:
        drawn = {name: _values(sampled, column).reshape(count, samples) for name, column in MEASURES.items()}
        figures |= {f"sampled_{name}": values_P_N.mean(1) for name, values_P_N in drawn.items()}
        right_P = drawn["accuracy"].sum(1).astype(np.int64)
        figures |= {f"pass@{k}": pass_at_k(right_P, samples, k) for k in _ks(samples)}
    keys = [f"picture {one}" if one else f"row {place}" for place, one in enumerate(pictures)]
    clusters_P = np.unique(keys, return_inverse=True)[1]
    return Problems(tuple(ids), tuple(pictures), greedy["level"].to_numpy(), clusters_P), figures


def _values(table: pa.Table, column: str) -> np.ndarray:
    values = table[column]
    if column == "verdict":
        values = pa.compute.equal(values, str(Verdict.CORRECT))
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _ks(samples: int) -> list[int]:
    """Return the powers of two from 2 on up to a number of samples, and that number.

    >>> _ks(1), _ks(4), _ks(6)
    ([], [2, 4], [2, 4, 6])
    """
    powers = [2**power for power in range(1, samples.bit_length()) if 2**power <= samples]
    return powers if samples in (1, *powers) else [*powers, samples]


def _differ(name: str, found: Problems, first: str, problems: Problems) -> str:
    """Say how the held-out problems of two runs differ."""
    if len(found.ids) != len(problems.ids):
        how = f"{len(found.ids)} problems, {len(problems.ids)} in {first}"
    else:
        ours, theirs = ([*zip(one.ids, one.pictures, strict=True)] for one in (found, problems))
        place = next(place for place, pair in enumerate(ours) if pair != theirs[place])
        what = "id" if ours[place][0] != theirs[place][0] else "picture"
        how = f"problem {place + 1} ({printable(ours[place][0])}) has another {what} than in {first}"
    return (
        f"{name} was measured on other held-out problems: {how}; only answers to the same problems are "
        "compared: make it anew with the data.test of the others, or leave its variant out of the grid"
    )
