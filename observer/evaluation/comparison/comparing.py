"""Compares evaluations: one record of all that was found, of which tables and ``compare.json`` are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from observer.evaluation.comparison.paired import Verdicts, adjust, compared, read_verdicts
from observer.evaluation.comparison.reading import Evaluated, benchmarks, left_out, told_apart


def compare(evaluations: Sequence[Evaluated]) -> tuple[dict[str, Any], dict[str, Verdicts]]:
    """Return what ``compare.json`` holds, and the verdicts by benchmark.

    Args:
        evaluations: two or more, whose rows and sampling are alike.

    Raises:
        RefusedError: no row was asked of both models of a pair.
    """
    verdicts = {name: read_verdicts(evaluations, name) for name in benchmarks(evaluations)}
    names = [one.name for one in evaluations]
    pairs = {name: compared(each, names) for name, each in verdicts.items()}
    adjust(pairs)
    found = {
        "models": {one.name: str(one.folder) for one in evaluations},
        "left_out": left_out(evaluations),
        "benchmarks": {
            name: {
                "digest": evaluations[0].made(name)["digest"],
                "differs": list(told_apart(evaluations, name)),
                "pairs": several,
            }
            for name, several in pairs.items()
        },
    }
    return found, verdicts
