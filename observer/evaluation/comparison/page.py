"""Rows that models were compared on as a page: those on which they disagree first, with what each wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from observer.data.fingerprints import digest
from observer.data.rows import Rows
from observer.evaluation.comparison.paired import Verdicts
from observer.evaluation.comparison.reading import Evaluated
from observer.evaluation.outcomes import rows_of
from observer.evaluation.recipe import Benchmark
from observer.pages.review_page import PageRow, Side, review_page
from observer.types import RefusedError, Verdict

SIDE = 768
"""Pixels of the longer side of a picture."""
GROUPS = ("benchmark", "level", "subject")
"""By what rows are filtered, beside who is right and the kind of their answer."""


class Chosen(NamedTuple):
    """A row of the page."""

    benchmark: str
    row: int
    who: str
    disagree: bool


def choose(verdicts: Mapping[str, Verdicts], names: Sequence[str], most: int) -> list[Chosen]:
    """Return the rows of the page: those on which models disagree first, won and lost alike.

    Args:
        verdicts: of each benchmark.
        names: of the models.
        most: rows at most; those of each outcome and benchmark are taken in turn.
    """
    found: dict[tuple[bool, str, str], list[Chosen]] = {}
    for benchmark, each in verdicts.items():
        right_M_R = each.right["greedy"] == 1
        for row, right_M in enumerate(right_M_R.T):
            disagree = bool(right_M.any() and not right_M.all())
            chosen = Chosen(benchmark, row, who(names, right_M), disagree)
            found.setdefault((disagree, chosen.who, benchmark), []).append(chosen)
    taken: list[Chosen] = []
    for tier in (True, False):
        queues = [queue for (disagree, _, _), queue in found.items() if disagree == tier]
        turns = (one for turn in zip_longest(*queues) for one in turn if one is not None)
        taken += [one for one, _ in zip(turns, range(most - len(taken)), strict=False)]
    order = list(verdicts)
    return sorted(
        taken, key=lambda one: (not one.disagree, _rank(one, names), order.index(one.benchmark), one.row)
    )


def _rank(chosen: Chosen, names: Sequence[str]) -> tuple[int, str]:
    """Rows that the last model alone has right come first: what it won."""
    only = [who(names, np.arange(len(names)) == place) for place in reversed(range(len(names)))]
    return (only.index(chosen.who) if chosen.who in only else len(only), chosen.who)


def who(names: Sequence[str], right_M: np.ndarray) -> str:
    """Return which models are right, in words.

    >>> [who(["a", "b"], np.array(right)) for right in ([1, 0], [0, 1], [1, 1], [0, 0])]
    ['only a is right', 'only b is right', 'all are right', 'none is right']
    >>> who(["a", "b", "c"], np.array([1, 0, 1]))
    'a and c are right'
    """
    right = [name for name, one in zip(names, right_M, strict=True) if one]
    if len(right) == len(names):
        return "all are right"
    if len(right) < 2:
        return f"only {right[0]} is right" if right else "none is right"
    return f"{', '.join(right[:-1])} and {right[-1]} are right"


def told(chosen: Sequence[Chosen], verdicts: Mapping[str, Verdicts]) -> str:
    """Return what is on the page and what is not."""
    rows = sum(len(each.ids_R) for each in verdicts.values())
    disagree = sum(
        int((right_M_R.any(0) & ~right_M_R.all(0)).sum())
        for right_M_R in (each.right["greedy"] == 1 for each in verdicts.values())
    )
    shown = sum(one.disagree for one in chosen)
    first = f"those on which the models disagree come first, {shown:,} of {disagree:,}"
    return f"{len(chosen):,} of {rows:,} rows; {first}"


def same_rows(evaluation: Evaluated, benchmark: str, source: Benchmark) -> Rows:
    """Open the rows of a benchmark again.

    Raises:
        RefusedError: they cannot be opened, or are not those that were asked.
    """
    made = evaluation.made(benchmark)
    rows = source.asked()
    if digest(rows.fingerprints()[: made["benchmark"]["count"]]) != made["digest"]:
        raise RefusedError(
            f"--page: the rows of {benchmark} are not those that {evaluation.folder} was asked; bring them "
            f"back, or name with --config a configuration that reads them, or leave out --page"
        )
    return rows


def comparison_page(
    evaluations: Sequence[Evaluated],
    chosen: Sequence[Chosen],
    opened: Mapping[str, Rows],
    about: str,
) -> Iterator[str]:
    """Return the page piece by piece; pictures are decoded one after the other.

    Args:
        evaluations: that are compared.
        chosen: its rows.
        opened: benchmark -> its rows, for their pictures.
        about: a sentence below the title.
    """
    records = {
        benchmark: _records(evaluations, benchmark, {one.row for one in chosen if one.benchmark == benchmark})
        for benchmark in dict.fromkeys(one.benchmark for one in chosen)
    }
    values: dict[str, set[str]] = {name: set() for name in GROUPS}
    for one in chosen:
        for name, value in _groups(one, records[one.benchmark][one.row][0]).items():
            values[name].add(value)
    filters = {"reason": "whoever is right", "kind": "every kind"}
    filters |= {name: f"every {name}" for name in GROUPS if len(values[name]) > 1}
    return review_page(
        (
            _page_row(one, evaluations, records[one.benchmark].pop(one.row), opened[one.benchmark])
            for one in chosen
        ),
        title=" and ".join(one.name for one in evaluations),
        about=about,
        decide=False,
        filters=filters,
        side=SIDE,
    )


def _records(
    evaluations: Sequence[Evaluated], benchmark: str, wanted: set[int]
) -> dict[int, list[dict[str, Any]]]:
    """Return row -> what each model's evaluation has kept of it."""
    columns = ("id", "place", "subject", "level", "kind", "answer", "options", "fault", "greedy", "samples")
    found: dict[int, list[dict[str, Any]]] = {row: [] for row in wanted}
    for model in evaluations:
        for row, record in enumerate(rows_of([model.answers(benchmark)], columns)):
            if row in wanted:
                samples = [one["verdict"] == Verdict.CORRECT for one in record.pop("samples")]
                found[row].append(record | {"right": sum(samples), "samples": len(samples)})
    return found


def _groups(chosen: Chosen, record: Mapping[str, Any]) -> dict[str, str]:
    values = (chosen.benchmark, str(record["level"]), record["subject"] or "")
    return dict(zip(GROUPS, values, strict=True))


def _page_row(
    chosen: Chosen, evaluations: Sequence[Evaluated], records: Sequence[Mapping[str, Any]], rows: Rows
) -> PageRow:
    record, problem = records[0], rows[chosen.row]
    groups = _groups(chosen, record)
    columns: dict[str, str | float] = {name: value for name, value in groups.items() if value}
    if record["options"]:
        columns["options"] = ", ".join(record["options"])
    return PageRow(
        id=record["id"],
        reason=chosen.who,
        question=problem.question,
        pictures=problem.pictures,
        gold=record["answer"],
        kind=record["kind"],
        columns=columns,
        note=record["place"],
        sides=tuple(_side(model.name, each) for model, each in zip(evaluations, records, strict=True)),
        groups=groups,
    )


def _side(name: str, record: Mapping[str, Any]) -> Side:
    greedy = record["greedy"]
    if not greedy:
        return Side(name, "", None, None, f"not asked: {record['fault']}")
    notes = [greedy["reason"], f"{greedy['tokens']} tokens"]
    if greedy["finish_reason"] == "length":
        notes.append("cut off")
    if record["samples"]:
        notes.append(f"{record['right']} of {record['samples']} samples right")
    return Side(
        name, greedy["text"], Verdict(greedy["verdict"]), greedy["extracted"], " · ".join(filter(None, notes))
    )
