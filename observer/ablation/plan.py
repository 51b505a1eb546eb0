"""The plan of a grid: its runs, what they will cost, and whether what it compares can show anything."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from observer.ablation.configured import Parse, option, refusals
from observer.ablation.grid import Grid
from observer.ablation.probe import Probe, measurements, probe, starts
from observer.ablation.state import State, state_of
from observer.ablation.testable import Groups, verdict
from observer.ablation.values import told
from observer.types import RefusedError

_WIDTH = 120
"""Columns where there is no terminal."""


def print_plan(grid: Grid, output: Path, jobs: int, parse: Parse | None) -> None:
    """Print the plan of a grid.

    Args:
        grid: whose plan it is.
        output: its directory, which may hold runs already.
        jobs: processes at once, for the hours.
        parse: the parser of ``observer fit``; None to time no step and try no variant.

    Raises:
        RefusedError: a probe fails.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    refused = {} if parse is None else refusals(grid, output, parse)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    console.print(listing(grid, output, refused))
    for line in statements(grid):
        say(line)
    for name, why in refused.items():
        say(f"{name} will fail: {why}")
    if parse is None:
        return
    probes = [probe(grid.run(name, seed, output), parse, jobs) for name, seed in starts(grid, refused)]
    for each in probes:
        say(told_probe(each))
        for line in comparisons(grid, each, parse):
            say(f"  {line}")
    for line in cost(grid, output, jobs, probes, parse) if probes else ():
        say(line)


def listing(grid: Grid, output: Path, refused: dict[str, str]) -> Table:
    """Draw the variants: how many of their runs are done, and their options."""
    runs = grid.runs(output)
    states = {run.name: state_of(run.folder) for run in runs}
    done = sum(state.complete for state in states.values())
    seeds = ", ".join(map(str, grid.seeds))
    title = f"{grid.name}: {len(runs)} runs, {done} done, {len(runs) - done} left; seeds {seeds}; in {output}"
    drawn = Table(title=title, caption=f"all: {told(grid.common)}" if grid.common else None)
    drawn.add_column("variant")
    drawn.add_column("done", justify="right")
    drawn.add_column("options", overflow="fold")
    for name, variant in grid.variants.items():
        own = [states[run.name] for run in runs if run.variant == name]
        complete = f"{sum(state.complete for state in own)}/{len(own)}"
        drawn.add_row(name, "refused" if name in refused else complete, told(variant.overrides))
    return drawn


def statements(grid: Grid) -> Iterator[str]:
    """Yield what the report will test, and what a fraction cannot tell apart."""
    for name, weights in grid.contrasts.items():
        terms = " ".join(f"{weight:+.4g} {variant}" for variant, weight in weights.items())
        yield f"primary contrast {name}: {terms}"
    if not grid.contrasts:
        yield "no primary contrasts: all differences will be exploratory; name them under contrasts"
    yield from grid.aliases
    if len(grid.seeds) == 1:
        yield "one seed says nothing of the spread over seeds; write three or more"


def told_probe(each: Probe) -> str:
    """Return what was measured from a start."""
    groups = Groups(each.records)
    measured = [f"{each.step:.2f} s per rollout"]
    measured += [f"{each.validation:.1f} s per validation"] if each.validation else []
    measured += [f"{each.test:.1f} s per held-out measurement"] if each.test else []
    return (
        f"probe of {each.run.name}: {', '.join(measured)}; {groups.signal().told}; {groups.formats().told}; "
        f"{groups.lengths().told}"
    )


def comparisons(grid: Grid, each: Probe, parse: Parse) -> Iterator[str]:
    """Yield for each axis, and each contrast of two variants, whether it can show anything."""
    config, groups = parse(each.run.words), Groups(each.records)
    rewards = reward_classes(config)
    for axis, levels in grid.axes.items():
        touched = dict.fromkeys(key for options in levels.values() for key in options)
        yield f"axis {axis}: {verdict(touched, groups, rewards)}"
    for name, weights in grid.contrasts.items():
        cells = [grid.variants[variant].cells for variant in weights]
        if all(cells):
            continue  # the axes have been told
        options = [grid.variants[variant].overrides for variant in weights]
        touched = dict.fromkeys(key for given in options for key in given)
        differing = [
            key for key in touched if any(given.get(key) != options[0].get(key) for given in options)
        ]
        yield f"contrast {name}: {verdict(differing, groups, rewards)}"


def reward_classes(config: dict[str, Any]) -> dict[str, str]:
    """Return name of a reward -> its class, of a configuration."""
    rewards = (config.get("model") or {}).get("rewards") or {}
    return {name: str(value.get("class_path", name)) for name, value in rewards.items() if value}


def cost(grid: Grid, output: Path, jobs: int, probes: list[Probe], parse: Parse) -> Iterator[str]:
    """Yield what is left to pay, if each rollout takes as long as those of the probes."""
    step, validation = fmean(each.step for each in probes), fmean(each.validation for each in probes)
    test, start = fmean(each.test for each in probes), fmean(each.start for each in probes)
    total, rollouts = 0.0, 0
    for name in grid.variants:
        try:
            config = parse(grid.run(name, grid.seeds[0], output).words)
        except RefusedError:
            continue
        planned, epoch = planned_rollouts(config)
        if planned is None:
            yield f"{name} has no trainer.max_steps: nobody knows what it costs"
            continue
        for seed in grid.seeds:
            state = state_of(grid.run(name, seed, output).folder)
            left = 0 if state.complete else max(planned - state.steps, 0)
            rollouts += left
            tests = 1 if state.steps else measurements(config)
            total += seconds_of(state, left, epoch, step, validation, tests * test, start)
    yield (
        f"left: {rollouts:,} rollouts, {hours(total)} of processes one after the other, "
        f"{hours(total / jobs)} with --jobs {jobs}, if other variants take as long per rollout and processes "
        f"do not slow each other down"
    )


def seconds_of(
    state: State, left: int, epoch: int, step: float, validation: float, tests: float, start: float
) -> float:
    """Return the seconds that a run will take yet; ``tests`` are those of measurements before and after."""
    if state.complete:
        return 0.0
    return start + left * step + math.ceil(left / epoch) * validation + tests


def planned_rollouts(config: dict[str, Any]) -> tuple[int | None, int]:
    """Return the rollouts of a run, None if its length is not given by steps, and those per validation."""
    steps, updates = option(config, "trainer.max_steps"), option(config, "model.updates_per_rollout") or 1
    epoch = (option(config, "data.steps_per_epoch") or 1) * (
        option(config, "trainer.check_val_every_n_epoch") or 1
    )
    return (None if steps is None or steps < 0 else max(1, steps // updates)), max(epoch, 1)


def hours(seconds: float) -> str:
    """Return a duration as people say it.

    >>> hours(30), hours(600), hours(9000)
    ('30 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
