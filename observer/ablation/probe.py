"""Probes: a fit of three rollouts per distinct start, in a temporary directory, as a process of its own."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from observer.ablation.configured import Parse, option
from observer.ablation.grid import Grid, Run
from observer.ablation.process import RunProcess, environment
from observer.ablation.state import state_of
from observer.types import RefusedError

ROLLOUTS = 3
"""Of a probe: the first one warms up, the others are timed."""
_PAUSE = 0.1


@dataclass(frozen=True)
class Probe:
    """What a few steps from one start have shown."""

    run: Run
    """The run whose options were probed."""
    step: float
    """Seconds per rollout."""
    validation: float
    """Seconds per validation; 0 without one."""
    test: float
    """Seconds per measurement of the held-out problems, before and after training; 0 without any."""
    start: float
    """Seconds until the first step, and after the last one, that are none of these."""
    records: list[dict[str, Any]]
    """Completions of the probe's rollouts, as in ``completions.jsonl``."""


def starts(grid: Grid, refused: Collection[str] = ()) -> list[tuple[str, int]]:
    """Return the variant and the seed to probe for each distinct start.

    A start is the model and what it is loaded with. The variant is the one with the most axes on, whose
    rewards can all be measured; without axes the baseline.

    Args:
        grid: whose starts they are.
        refused: variants that cannot be run.
    """
    on = {
        name: sum(level != next(iter(grid.axes[axis])) for axis, level in variant.cells.items())
        for name, variant in grid.variants.items()
        if name not in refused
    }
    if not on:
        return []
    fullest = max([name for name in (grid.baseline, *on) if name in on], key=lambda name: on[name])
    found: dict[str, tuple[str, int]] = {}
    for seed in grid.seeds:
        given = grid.options(fullest, seed)
        start = {key: value for key, value in given.items() if f"{key}.".startswith("model.policy.")}
        found.setdefault(json.dumps(start, sort_keys=True, default=str), (fullest, seed))
    return list(found.values())


def probe(run: Run, parse: Parse, jobs: int) -> Probe:
    """Take a few steps of a run in a temporary directory, beside those of the grid.

    Args:
        run: of the grid.
        parse: the parser of ``observer fit``.
        jobs: processes at once that the grid will have: the probe gets as many threads as one of them.

    Raises:
        RefusedError: it fails; says why.
    """
    from observer.ablation.timing import FILE, Timing  # imports Lightning, as the parser has

    config = parse(run.words)
    updates = option(config, "model.updates_per_rollout") or 1
    near = next(parent for parent in run.folder.absolute().parents if parent.is_dir())  # a disk with room
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=near) as folder:
        run_dir, log = Path(folder) / "run", Path(folder) / "log"
        words = [word for word in run.words if not word.startswith("--run_dir=")]
        words += [
            f"--run_dir={run_dir}",
            f"--trainer.max_steps={ROLLOUTS * updates}",
            f"--data.steps_per_epoch={ROLLOUTS}",
            f"--trainer.callbacks+={Timing.__module__}.{Timing.__qualname__}",
            *("--completions.groups_per_step=null", "--report.export=false", "--trainer.logger=false"),
            "--trainer.enable_progress_bar=false",
        ]
        began = time.perf_counter()
        process = RunProcess(words, log, environment(jobs))
        try:
            while (code := process.ended()) is None:
                time.sleep(_PAUSE)
        finally:
            process.kill()
            while process.ended() is None:
                time.sleep(_PAUSE)
        whole = time.perf_counter() - began
        if code or not state_of(run_dir).complete:
            raise RefusedError(f"the probe of {run.name} has failed: {process.why(code)}")
        seconds = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        test, validations = sum(seconds["test"]), seconds["validation"]
        known = sum(seconds["step"]) + sum(validations) + measurements(config) * test
        return Probe(
            run=run,
            step=fmean(seconds["step"][1:] or seconds["step"]),
            validation=fmean(validations) if validations else 0.0,
            test=test,
            start=max(whole - known, 0.0),
            records=list(_lines(run_dir / "completions.jsonl")),
        )


def measurements(config: Any) -> int:
    """Return how often a fit measures its held-out problems: after training, and before it if it may."""
    return 1 if option(config, "report.measure_before") is False else 2


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
