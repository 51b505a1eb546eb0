"""Refuses rows of which there are too few, and held-out rows that figures cannot be measured on."""

from __future__ import annotations

from observer.data.rows import Rows
from observer.metrics import LEVELS
from observer.refusal import shown
from observer.types import RefusedError


def refuse_few(rows: Rows, prompts_per_step: int) -> None:
    """Refuse training rows that make no step.

    Raises:
        RefusedError: names both numbers.
    """
    if len(rows) < prompts_per_step:
        raise RefusedError(f"data.train has {len(rows)} rows, fewer than prompts_per_step {prompts_per_step}")


def refuse_unmeasurable(split: str, rows: Rows, ranks: int) -> None:
    """Refuse rows of which a process gets none, and levels that figures by level cannot name.

    Args:
        split: what they are for: ``val``, ``test`` or ``predict``.
        rows: those that are left after the check of each.
        ranks: number of processes.

    Raises:
        RefusedError: names the split, and the row or both numbers.
    """
    if len(rows) < ranks:
        raise RefusedError(
            f"data.{split} has {len(rows)} rows, fewer than the {ranks} processes; a process without a row "
            f"leaves the others waiting: add rows"
        )
    if split != "predict" and (highest := int(rows.level.max())) >= LEVELS:
        name = shown(rows[int(rows.level.argmax())].id)
        raise RefusedError(
            f"data.{split}: row {name} has level {highest}; held-out figures are broken down by levels 0 .. "
            f"{LEVELS - 1}; number the levels anew"
        )
