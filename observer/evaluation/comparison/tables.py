"""A comparison for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from observer.evaluation.comparison.paired import MEASURES

NOTES = 4
"""Of what else differs, lines that are shown; all are in the file."""


def tables(found: Mapping[str, Any]) -> Iterator[Table | Text]:
    """Yield what to print of a comparison: differences, rows won and lost, what else differs."""
    parts = [(name, pair) for name, part in found["benchmarks"].items() for pair in part["pairs"]]
    yield _differences(parts)
    yield _rows(parts)
    if found["left_out"]:
        yield Text(f"not in all evaluations, and not compared: {', '.join(found['left_out'])}")
    for name, pair in parts:
        if pair["not_asked"]:
            both = " and ".join(pair["models"])
            yield Text(f"{name}: {pair['not_asked']:,} rows were not asked of both {both}, and count nowhere")
    for name, part in found["benchmarks"].items():
        yield from _notes(name, part["differs"])


def _differences(parts: list[tuple[str, dict[str, Any]]]) -> Table:
    several = any("p_holm" in pair[name] for _, pair in parts for name in MEASURES if name in pair)
    table = Table(
        title="paired difference, with its 95 % interval over rows (clustered by picture)",
        caption="told apart: the interval excludes 0. Rows in all: they would tell the difference that was "
        "found, 4 times in 5, if it is the true one; what was found is often larger than that.",
    )
    for name in ("benchmark", "model", "against", "responses"):
        table.add_column(name)
    for name in ("scores", "difference", "p", *(["p (Holm)"] if several else []), "to tell them apart"):
        table.add_column(name, justify="right")
    for benchmark, pair in parts:
        for measure in MEASURES:
            if measure not in pair:
                continue
            each = pair[measure]
            holm = [probability(each["p_holm"])] if "p_holm" in each else ["-"] * several
            table.add_row(
                Text(benchmark),
                *map(Text, reversed(pair["models"])),
                measure,
                " / ".join(f"{score:.3f}" for score in reversed(each["scores"])),
                signed(each["difference"]),
                probability(each["p"]),
                *holm,
                needed(each),
            )
    return table


def _rows(parts: list[tuple[str, dict[str, Any]]]) -> Table:
    table = Table(
        title="the greedy responses row by row, with McNemar's exact p",
        caption="p takes rows as independent, also those of one picture. Smallest difference: what these "
        "rows would tell from 0 in 4 times of 5.",
    )
    for name in ("benchmark", "model", "against"):
        table.add_column(name)
    for name in ("rows", "pictures", "both right", "won", "lost", "none right", "p", "smallest difference"):
        table.add_column(name, justify="right")
    for benchmark, pair in parts:
        counts = pair["mcnemar"]
        least = pair["greedy"]["smallest_difference"]
        table.add_row(
            Text(benchmark),
            *map(Text, reversed(pair["models"])),
            *(f"{pair[name]:,}" for name in ("rows", "clusters")),
            *(f"{counts[name]:,}" for name in ("both", "won", "lost", "neither")),
            probability(counts["p"]),
            "-" if least is None else f"{least:.3f}",
        )
    return table


def _notes(name: str, lines: list[str]) -> Iterator[Text]:
    if lines:
        yield Text(f"{name}: beside the model these differ:")
        yield from (Text(f"  {line}") for line in lines[:NOTES])
        if len(lines) > NOTES:
            yield Text(f"  and {len(lines) - NOTES} more in compare.json")


def needed(each: Mapping[str, Any]) -> str:
    """Return how many rows would tell two models apart."""
    _, low, high = each["difference"]
    if low > 0 or high < 0:
        return "told apart"
    return "-" if each["rows_needed"] is None else f"{each['rows_needed']:,} rows"


def signed(value: list[float]) -> str:
    """Return a difference for people.

    >>> signed([0.031, -0.002, 0.064])
    '+.031 (-.002 .. +.064)'
    """
    mean, low, high = (
        f"{one:+.3f}".replace("0.", ".", 1) if abs(one) < 1 else f"{one:+.2f}" for one in value
    )
    return f"{mean} ({low} .. {high})"


def probability(value: float) -> str:
    """Return a p-value for people.

    >>> probability(0.03124), probability(0.00004)
    ('.031', '< .001')
    """
    if value < 0.001:
        return "< .001"
    return f"{value:.3f}".replace("0.", ".", 1) if value < 1 else "1"
