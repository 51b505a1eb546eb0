"""What an examination prints: what is in the rows, then what is to be mended."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from observer.doctor.examine import Examination
from observer.doctor.findings import SHOWN, Finding, Findings
from observer.doctor.split import Split
from observer.doctor.spread import QUANTILES, guessed, kinds, lengths
from observer.refusal import printable

ANSWER, REASON = 24, 500
"""Characters of an answer, and of a finding, that are printed."""
FATES = {
    "refused": "A fit would be refused because of",
    "interrupts": "A fit would be interrupted by",
    "left out": "A fit would leave out",
    "noted": "A fit would train on these all the same:",
}


def tables(splits: list[Split], findings: Findings, limit: int | None) -> Iterator[Table]:
    """Yield the tables: rows, prompts, answers.

    Args:
        splits: that were read.
        findings: what was found of them.
        limit: tokens of the longest prompt that is admitted; None where prompts were not measured.
    """
    rows = Table(title="rows", title_justify="left")
    rows.add_column("split")
    rows.add_column("from", overflow="fold")
    for name in ("good rows", "refused", "interrupt", "left out", "noted"):
        rows.add_column(name, justify="right")
    for split in splits:
        counts = [findings.of(fate, split.name) for fate in ("refused", "interrupts", "left out", "noted")]
        good = len(split.rows) - len(split.bad)
        rows.add_row(split.name, _cell(split.where, 60), *(f"{count:,}" for count in (good, *counts)))
    yield rows
    if limit is not None:
        yield _lengths(splits, limit)
    yield _answers(splits)


def _lengths(splits: list[Split], limit: int) -> Table:
    table = Table(title=f"tokens of a prompt (at most {limit:,})", title_justify="left")
    table.add_column("split")
    for name in ("least", "half", "90 %", "99 %", "most"):
        table.add_column(name, justify="right")
    for name in ("pictures: all", "half", "90 %", "most"):
        table.add_column(name, justify="right")
    for split in splits:
        if (found := lengths(split)) is not None:
            shares = [found.pictures[QUANTILES.index(at)] for at in (0.5, 0.9, 1.0)]
            table.add_row(
                split.name,
                *(f"{tokens:,.0f}" for tokens in found.tokens),
                *(f"{share:.0%}" for share in (found.visual / found.total, *shares)),
            )
    return table


def _answers(splits: list[Split]) -> Table:
    table = Table(title="answers", title_justify="left")
    for name in ("split", "kind"):
        table.add_column(name)
    for name in ("rows", "share", "different"):
        table.add_column(name, justify="right")
    table.add_column("most frequent", overflow="fold")
    for split in splits:
        found = kinds(split)
        total = sum(kind.rows for kind in found)
        for kind in found:
            frequent = ", ".join(
                f"{_cell(answer, ANSWER)} {count / kind.rows:.0%}" for answer, count in kind.frequent
            )
            counts = f"{kind.rows:,}", f"{kind.rows / total:.0%}", f"{kind.different:,}"
            table.add_row(split.name, kind.name, *counts, frequent)
    return table


def sentences(examination: Examination, findings: Findings) -> Iterator[str]:
    """Yield lines: what guessing scores, and the first findings by what a fit does with them."""
    for split in examination.splits:
        if split.vouched:
            yield (
                f"data.{split.name}: {len(split.measured):,} rows stand for all {len(split.rows):,}, which a "
                f"program makes; prompts, pictures and copies of these alone were looked at"
            )
        if found := kinds(split):
            yield (
                f"data.{split.name}: guessing the most frequent answer of each kind is right in "
                f"{guessed(found):.0%} of the rows"
            )
    if not examination.near:
        yield 'near copies were not looked for: pip install "observer-r1[ladder]"'
    for fate, said in FATES.items():
        for (check, known), first in findings.first.items():
            if known == fate:
                count = sum(
                    number
                    for (_, what, ended), number in findings.counts.items()
                    if (what, ended) == (check, fate)
                )
                yield ""
                yield f"{said} {count:,} ({check}):"
                yield from map(_line, first)
                if count > SHOWN:
                    yield f"  and {count - SHOWN:,} more"

    bad = findings.of("refused") + findings.of("interrupts")
    yield ""
    if examination.stopped:
        yield f"interrupted while {examination.stopped}: what is left is unknown"
    elif bad:
        yield f"{bad:,} findings keep a fit from these rows: mend them, or set on_bad_row to skip"
    else:
        yield "a fit would train on these rows"


def _line(finding: Finding) -> str:
    return f"  {printable(finding, REASON)}"


def _cell(text: str, most: int) -> str:
    """Return a text for a cell, whose brackets are no markup."""
    return printable(text, most).replace("[", r"\[")
