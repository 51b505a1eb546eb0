"""What was planned, what is there, and in what the runs differ besides their variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from observer.ablation.report.collect import Collected, Measured
from observer.ablation.report.document import Block, Items, Section, Table
from observer.ablation.report.wording import listed, several

SHOWN_RUNS = 4
"""Runs that are named where some differ; the others are counted."""


def overview(runs: Collected) -> Section:
    """Return the head of the report."""
    grid = runs.grid
    planned = len(runs.measured) + len(runs.missing)
    states = [f"{len(runs.measured)} complete"]
    counts: dict[str, int] = {}
    for one in runs.missing:
        counts[one.status] = counts.get(one.status, 0) + 1
    states += [f"{count} {status}" for status, count in counts.items()]
    lines = [
        (
            "Runs",
            f"{several(len(grid.variants), 'variant')} x {several(len(grid.seeds), 'seed')} = {planned} "
            f"planned; {', '.join(states)}.",
        ),
        ("Held-out problems", _problems(runs)),
        ("Budget", _budget(runs)),
        ("Figures", "Of the end of training, in percent or tokens; no checkpoint was chosen by them."),
        *_differences(runs),
        *(
            [("Not told apart", f"the design is a fraction; {', '.join(grid.aliases)}.")]
            if grid.aliases
            else []
        ),
    ]
    blocks: list[Block] = [Items(tuple(lines))]
    if runs.missing:
        rows = [(one.run.variant, str(one.run.seed), one.status, one.error or "-") for one in runs.missing]
        blocks += [
            Table(("without figures", "seed", "status", "error"), tuple(rows)),
            "They are left out. A variant whose runs fail is judged by those that do not: mind that.",
        ]
    return Section("What was run", blocks)


def _problems(runs: Collected) -> str:
    problems = runs.problems
    count, clusters = len(problems.ids), problems.clusters
    text = f"{several(count, 'problem')}, the same in every run (ids and pictures compared)"
    if clusters < count:
        return f"{text}; {count - clusters} repeat a picture: problems of one picture are one cluster."
    return f"{text}."


def _budget(runs: Collected) -> str:
    """Say what each run has drawn; the primary budget is equal rollouts."""
    totals: dict[int, list[Measured]] = {}
    for one in runs.measured.values():
        drawn = max((point.spent["prompts"] for point in one.curve), default=None)
        if drawn is None:
            return (
                "Equal rollouts is the primary budget; the runs have no curve.jsonl that says what they drew."
            )
        totals.setdefault(int(drawn), []).append(one)
    if len(totals) == 1:
        return f"Equal rollouts: every run drew {several(next(iter(totals)), 'prompt')}. Equal tokens: below."
    parts = [f"{several(drawn, 'prompt')} in {_runs(found)}" for drawn, found in sorted(totals.items())]
    return (
        f"NOT EQUAL: {'; '.join(parts)}. Differences may be those of the budget: see those at equal tokens."
    )


def _runs(found: list[Measured]) -> str:
    names = [one.run.name for one in found]
    shown = names[:SHOWN_RUNS] + ([f"{len(names) - SHOWN_RUNS} more"] if len(names) > SHOWN_RUNS else [])
    return f"{several(len(names), 'run')} ({listed(shown)})"


def _differences(runs: Collected) -> Iterator[tuple[str, str]]:
    """Yield what runs differ in besides their variant, and changes of code that no commit holds."""
    found = list(runs.measured.values())
    for what, keys in _recorded(found).items():
        groups: dict[str, list[Measured]] = {}
        for one in found:
            values = dict.fromkeys(str(_at(record, *keys)) for record in one.environments)
            groups.setdefault(", then ".join(values), []).append(one)
        if len(groups) > 1:
            said = "; ".join(f"{value} in {_runs(same)}" for value, same in groups.items())
            yield "Runs differ", f"{what}: {said}."
    if changed := [one for one in found if any(_at(record, "git", "dirty") for record in one.environments)]:
        yield "Code", f"{_runs(changed)} ran code with changes that its commit does not hold."
    if short := [one for one in found if one.summary.get("steps") != one.summary.get("planned_steps")]:
        yield "Shorter", f"{_runs(short)} ended before the planned steps."
    split = [seed for seed in runs.grid.seeds if len(_starts(runs, seed)) > 1]
    if split:
        seeds = f"{'seed' if len(split) == 1 else 'seeds'} {listed(split)}"
        yield "Starts", f"variants of {seeds} did not start from the same weights."


def _starts(runs: Collected, seed: int) -> set[Any]:
    return {
        _at(one.environments[0], "start", "weights")
        for (_, number), one in runs.measured.items()
        if number == seed
    }


def _at(record: Mapping[str, Any], *keys: str) -> Any:
    """Return a value of a nested record; None where it, or a record on the way, is not there."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _recorded(found: list[Measured]) -> dict[str, tuple[str, ...]]:
    """Return what runs may differ in -> its keys in ``environment.json``; packages that any of them had."""
    versions = [_at(record, "versions") for one in found for record in one.environments]
    packages = dict.fromkeys(name for each in versions if isinstance(each, Mapping) for name in each)
    return {
        "commit": ("git", "commit"),
        **{name: ("versions", name) for name in packages},
        "rows of data.train": ("rows", "train"),
        "processor": ("hardware", "cpu"),
        "accelerators": ("hardware", "devices"),
    }
