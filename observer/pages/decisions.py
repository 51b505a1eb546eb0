"""What people decided on a review page: the file that the page exports, read with its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from observer.refusal import printable, shown
from observer.types import RefusedError

FORMAT = "observer decisions 1"
"""First field of the file."""
MOST_BYTES = 1 << 28
"""Of a file that is read."""
Choice = Literal["keep", "drop", "correct"]


@dataclass(frozen=True)
class Decision:
    """What is to become of a row."""

    choice: Choice
    gold: str | None = None
    """The gold answer that is right; of ``correct`` alone."""


def read_decisions(file: str | Path, ladder: str | None = None) -> dict[str, Decision]:
    """Return the decisions of a file, by the id of their row.

    Args:
        file: as a review page exports it.
        ladder: digest of the rows that are decided on; None where they need not be the same.

    Raises:
        RefusedError: the file cannot be read, is no such file, is of other rows, or decides a row twice.
    """
    content = _content(Path(file))
    where = printable(file)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RefusedError(
            f"{where} holds no decisions: it has no `format` {FORMAT!r}; export it from a review page"
        )
    if unknown := sorted(content.keys() - {"format", "ladder", "decisions"}):
        raise RefusedError(f"{where} has the field {shown(unknown[0])}, which is none of it; remove it")
    if ladder is not None and content.get("ladder") != ladder:
        raise RefusedError(
            f"{where} decides on the rows {shown(content.get('ladder'))}, and these are {shown(ladder)}: "
            "write the review page of these rows, and decide there"
        )
    decided: dict[str, Decision] = {}
    for number, (row, decision) in enumerate(_entries(content.get("decisions"), where), 1):
        if row in decided and decided[row] != decision:
            raise RefusedError(f"{where}: decision {number}: row {shown(row)} is decided twice; keep one")
        decided[row] = decision
    return decided


def _content(file: Path) -> Any:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise RefusedError(f"{printable(file)} has more than {MOST_BYTES} bytes: it holds no decisions")
        return json.loads(file.read_bytes())
    except OSError as error:
        raise RefusedError(f"{printable(file)} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"{printable(file)} is no JSON ({printable(error)}); export it again") from error


def _entries(entries: Any, where: str) -> Iterator[tuple[str, Decision]]:
    if not isinstance(entries, list):
        raise RefusedError(f"{where}: `decisions` is {shown(entries)}; it must be a list")
    for number, entry in enumerate(entries, 1):
        place = f"{where}: decision {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise RefusedError(f"{place} is {shown(entry)}; it must have the `id` of a row")
        if unknown := sorted(entry.keys() - {"id", "choice", "gold"}):
            raise RefusedError(f"{place} has the field {shown(unknown[0])}; it may have id, choice and gold")
        choice, gold = entry.get("choice"), entry.get("gold")
        if choice not in get_args(Choice):
            known = ", ".join(get_args(Choice))
            raise RefusedError(f"{place}: `choice` is {shown(choice)}; it must be one of {known}")
        corrected = isinstance(gold, str) and bool(gold.strip())
        if corrected != (choice == "correct") or (gold is not None and not corrected):
            raise RefusedError(
                f"{place}: `gold` is {shown(gold)}; a row that is corrected has one, and no other row"
            )
        yield entry["id"], Decision(cast(Choice, choice), gold)
