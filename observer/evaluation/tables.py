"""The scores of an evaluation for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text

from observer.evaluation.intervals import interval_text
from observer.evaluation.scores import Scores

SHOWN_GROUPS = 12
"""Groups of a breakdown that are shown; the others are in the file."""
FAULTS = 3
"""Rows that could not be asked that are named on the terminal; all are in the file."""

SHARES = {
    "formatted": "formatted",
    "truncated": "cut off",
    "unparsed": "no answer found",
    "unverifiable": "unverifiable",
}
CHAIN = {
    "well_formed": "observe, think, answer, whole",
    "repeated": "4-grams that stood there before",
    "reused": "observed facts that the reasoning uses",
    "follows": "answer is its last result",
    "true_facts": "true facts in what is observed",
}
"""Figure of a chain of thought -> how it is called."""
AUDIT = {
    "blank": "blank picture",
    "blurred": "blurred picture",
    "wrong_picture": "another row's picture",
    "observe_kept": "goes on from its own observation",
    "observe_removed": "without the observation",
    "observe_shuffled": "with its words in another order",
    "observe_replaced": "from another row's observation",
}
"""Condition of the audit -> how it is called."""
READ = {
    "tag": "right by the last <answer> tag",
    "boxed": "right by the last box",
    "last": "right by the last number or letter",
}
"""Extractor -> how it is called."""


def tables(found: Scores) -> Iterator[Table | Text]:
    """Yield what to print of an evaluation: scores, what harnesses differ by, breakdowns, what went wrong."""
    benchmarks = found["benchmarks"]
    for name, scores in benchmarks.items():
        yield from _leaks(name, scores.get("leaks"))
    yield _scores(benchmarks)
    yield _readings(benchmarks)
    for name, scores in benchmarks.items():
        if "scoring" in scores:
            yield _own(name, scores["scoring"])
        if scores.get("audit"):
            yield _audit(name, scores["audit"])
    for name, scores in benchmarks.items():
        for group, parts in scores["groups"].items():
            yield _groups(name, group, parts)
    for name, scores in benchmarks.items():
        yield from _faults(name, scores["faults"])


def _scores(benchmarks: Scores) -> Table:
    """Return a column per benchmark, a line per figure."""
    table = Table("", title="accuracy, with its 95 % interval over rows (clustered by picture)")
    for name in benchmarks:
        table.add_column(Text(name), justify="right")
    names = list(dict.fromkeys(key for scores in benchmarks.values() for key in scores if _is_score(key)))
    for name in names:
        table.add_row(name, *(interval_text(scores.get(name)) for scores in benchmarks.values()))
    if any(scores.get("without_leaks") for scores in benchmarks.values()):
        table.add_section()
        for told, key in (("greedy", "greedy"), ("sampled", "sampled")):
            cells = [(scores.get("without_leaks") or scores).get(key) for scores in benchmarks.values()]
            table.add_row(f"{told} without rows trained on", *map(interval_text, cells))
    table.add_section()
    _line(table, "rows", benchmarks, lambda scores: f"{scores['rows']:,}")
    _line(table, "pictures or texts", benchmarks, lambda scores: f"{scores['clusters']:,}")
    return table


def _is_score(key: str) -> bool:
    return key in ("greedy", "sampled") or "@" in key


def _readings(benchmarks: Scores) -> Table:
    table = Table("", title="the greedy responses")
    for name in benchmarks:
        table.add_column(Text(name), justify="right")
    for key, told in SHARES.items():
        _line(table, told, benchmarks, partial(_part, "shares", key))
    _line(table, "tokens", benchmarks, lambda scores: f"{scores['tokens']:.1f}")
    _line(table, "tokens per correct one", benchmarks, lambda scores: _or_dash(scores["tokens_per_correct"]))
    table.add_section()
    for key, told in CHAIN.items():
        _line(table, told, benchmarks, partial(_chain, key))
    table.add_section()
    for key, told in READ.items():
        _line(table, told, benchmarks, partial(_part, "extractors", key))
    _line(table, "rows on which these disagree", benchmarks, lambda scores: f"{scores['disagree']:,}")
    return table


def _line(table: Table, name: str, benchmarks: Scores, cell: Callable[[Scores], str]) -> None:
    table.add_row(name, *map(cell, benchmarks.values()))


def _part(part: str, key: str, scores: Scores) -> str:
    value = scores[part][key]
    return f"{value[0] if isinstance(value, list) else value:.3f}"


def _chain(key: str, scores: Scores) -> str:
    value = scores["chains"].get(key)
    return _or_dash(None) if value is None else f"{value[0]:.3f}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _audit(name: str, audit: dict[str, Any]) -> Table:
    title = Text(f"{name}: does it look? {audit['rows']:,} rows asked anew, greedily")
    table = Table("", "rows", "accuracy", "change to the right picture", title=title)
    table.add_row("right picture", f"{audit['rows']:,}", interval_text(audit["right"]), "")
    for condition, told in AUDIT.items():
        if found := audit["conditions"].get(condition):
            cells = interval_text(found["accuracy"]), signed_text(found["change"])
            table.add_row(told, f"{found['rows']:,}", *cells)
    return table


def signed_text(value: Sequence[float]) -> str:
    """Return a difference of two scores for people.

    >>> signed_text([-0.5, -0.59, 0.0])
    '-.500 (-.590 .. +.000)'
    """
    mean, low, high = (f"{one:+.3f}".replace("0.", ".", 1) for one in value)
    return f"{mean} ({low} .. {high})"


def _groups(name: str, group: str, parts: Scores) -> Table:
    table = Table(group, "rows", "greedy", title=Text(f"{name} by {group}"))
    for part, scores in list(parts.items())[:SHOWN_GROUPS]:
        table.add_row(Text(part or "-"), f"{scores['rows']:,}", interval_text(scores["greedy"]))
    if len(parts) > SHOWN_GROUPS:
        table.caption = f"and {len(parts) - SHOWN_GROUPS} more in scores.json"
    return table


def _own(name: str, said: Scores) -> Table:
    """Return the figures of a benchmark's own rule."""
    table = Table("", "", title=Text(f"{name} by its own rule, {said['rule']}"), caption=said["note"] or None)
    for figure, value in said["figures"].items():
        if isinstance(value, list):
            table.add_row(figure, interval_text(value))
        else:
            table.add_row(figure, f"{value:.3f}" if isinstance(value, float) else _or_none(value))
    return table


def _leaks(name: str, leaks: Scores | None) -> Iterator[Text]:
    """Name the rows that were trained on."""
    if not leaks:
        return
    where = "near copies too" if leaks["near_ones_too"] else "equal ones alone, without the extra ladder"
    rows = leaks["rows"]
    yield Text(f"{name}: {len(rows):,} rows are in the training data ({where}){':' if rows else ''}")
    for one in rows[:FAULTS]:
        yield Text(
            f"  {one['place']}: row {one['id']} {one['how']} as row {one['like']} of {one['like_place']}"
        )
    if len(rows) > FAULTS:
        yield Text(f"  and {len(rows) - FAULTS:,} more, in scores.json")


def _or_none(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _faults(name: str, faults: list[list[Any]]) -> Iterator[Text]:
    if faults:
        count = f"{len(faults):,} row{'s' if len(faults) > 1 else ''}"
        yield Text(f"{name}: {count} could not be asked and count in no score; the first:")
        for place, row, why in faults[:FAULTS]:
            yield Text(f"  {place}: row {row}: {why}")
