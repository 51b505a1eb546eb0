"""The runs of a grid: what is complete, what is missing and why, and the outcomes per problem of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from observer.ablation.grid import Grid, Run
from observer.ablation.process import failure
from observer.ablation.record import Named, read_named
from observer.ablation.report.curves import Point, read_curve
from observer.metrics.answers import Problems, read_answers
from observer.metrics.outcomes import FILE
from observer.refusal import printable
from observer.types import RefusedError

ENVIRONMENT, RESUMED = "environment.json", "environment.resumed-*.json"
COMPLETE = "complete"


@dataclass(frozen=True)
class Measured:
    """A run that is complete."""

    run: Run
    figures: Mapping[str, np.ndarray]
    """Name -> its value for each problem, shape (P,); of sampled answers the mean over the samples."""
    curve: tuple[Point, ...]
    summary: Mapping[str, Any]
    environments: tuple[Mapping[str, Any], ...]
    """Where it was started, then where it was resumed."""


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
    named: tuple[Named, ...] = ()
    """What the grid file has said that decides the tests, the first first; empty if that is not known."""
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
    first, differing = "", []
    for run in grid.runs(output):
        summary = _json(run.folder / "summary.json")
        if why := _unfinished(run, summary):
            missing.append(why)
            continue
        found, figures = read_answers(run.folder / FILE)
        if problems is None:
            problems, first = found, run.name
        elif (found.ids, found.pictures) != (problems.ids, problems.pictures):
            differing.append((run.name, found))
            continue
        measured[run.variant, run.seed] = Measured(
            run, figures, read_curve(run.folder / "curve.jsonl"), summary, _environments(run.folder)
        )
    if differing and problems is not None:
        raise RefusedError(_differ(differing, first, problems))
    if problems is None:
        said = "; ".join(f"{one.run.name}: {one.status}" for one in missing[:3])
        raise RefusedError(
            f"{printable(output)} holds no complete run of grid {printable(grid.name)} ({said}); "
            "run the grid with `observer ablate run`"
        )
    shared = set.intersection(*({*one.figures} for one in measured.values()))
    names = tuple(name for name in next(iter(measured.values())).figures if name in shared)
    return Collected(grid, problems, measured, tuple(missing), tuple(read_named(output)), names)


def _unfinished(run: Run, summary: Mapping[str, Any]) -> Missing | None:
    """Return why a run has no figures; None if it has."""
    status = str(summary.get("status", "not started"))
    if status != COMPLETE:
        printed = failure(run.log)
        said = str(summary.get("error") or printed or "")
        if status == "running" or (status == "not started" and printed == ""):
            status = "running or killed"
        return Missing(run, "failed" if status == "not started" and said else status, said)
    if not (run.folder / FILE).is_file():
        return Missing(run, "not measured", f"complete, but without {FILE}: is data.test set?")
    return None


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


def _environments(folder: Path) -> tuple[dict[str, Any], ...]:
    """Return where a run was started, and where it was resumed, in order."""
    resumed = sorted(folder.glob(RESUMED), key=lambda path: (len(path.name), path.name))
    return tuple(map(_json, [folder / ENVIRONMENT, *resumed]))


def _differ(differing: list[tuple[str, Problems]], first: str, problems: Problems) -> str:
    """Say which runs have other held-out problems, and how those of the first of them differ."""
    (name, found), *others = differing
    if len(found.ids) != len(problems.ids):
        how = f"{len(found.ids)} problems, {len(problems.ids)} in {first}"
    else:
        ours, theirs = ([*zip(one.ids, one.pictures, strict=True)] for one in (found, problems))
        place = next(place for place, pair in enumerate(ours) if pair != theirs[place])
        what = "id" if ours[place][0] != theirs[place][0] else "picture"
        how = f"problem {place + 1} ({printable(ours[place][0])}) has another {what} than in {first}"
    more = f" (and {', '.join(other for other, _ in others)})" if others else ""
    return (
        f"{name}{more} was measured on other held-out problems: {how}; only answers to the same problems are "
        "compared: make it anew with the data.test of the others, or leave its variant out of the grid"
    )
