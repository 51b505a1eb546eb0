"""Rows as the model will see them, on a page of HTML: the rendered prompt, pictures as they are sized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from observer.doctor.split import Split
from observer.pages.review_page import PageRow, review_page
from observer.rollout import PromptRenderer
from observer.types import Picture, Problem, RefusedError

ROWS = 50
"""Rows of a page."""
WITH_FINDINGS = 20
"""Of them at most, rows with a finding."""


def page(splits: Sequence[Split], renderer: PromptRenderer | None) -> Iterator[str]:
    """Return the page piece by piece: first rows with a finding, then others drawn from all splits.

    Args:
        splits: that were read.
        renderer: the policy's; None shows questions and pictures as they are in the rows.
    """
    chosen = _chosen(splits)
    seen = (
        "As the model will see them"
        if renderer is not None
        else "As they are in the files: no model is named"
    )
    return review_page(
        (_row(split, row, reason, note, renderer) for split, row, reason, note in chosen),
        title=f"{len(chosen)} rows",
        about=f"{seen}. Rows with a finding come first; the others are drawn at random.",
        decide=False,
    )


def _chosen(splits: Sequence[Split]) -> list[tuple[Split, int, str, str]]:
    """Return split, number, reason and note of each row of the page."""
    found = [(split, row, check, what) for split in splits for row, check, what in split.pages]
    found = found[: min(WITH_FINDINGS, ROWS)]
    known = {(split.name, row) for split, row, _, _ in found}
    sizes = [len(split.rows) for split in splits]
    drawn: list[tuple[Split, int, str, str]] = []
    for split, size, total in zip(splits, sizes, np.cumsum(sizes[::-1])[::-1].tolist(), strict=True):
        left = ROWS - len(found) - len(drawn)
        share = max(min(left, 5), round(left * size / max(1, total)))
        rows = np.random.default_rng(0).permutation(size)[: share + len(found)].tolist()
        fresh = [row for row in rows if (split.name, row) not in known and row not in split.bad][:share]
        drawn += [(split, row, f"data.{split.name}", "") for row in sorted(fresh)]
    return [*found, *drawn]


def _row(split: Split, row: int, reason: str, note: str, renderer: PromptRenderer | None) -> PageRow:
    problem = split.rows[row]
    columns: dict[str, str | float] = {"split": split.name}
    question = "\n\n".join(turn.text for turn in problem.turns)
    pictures = problem.pictures
    if renderer is not None:
        try:
            question, length = renderer.text(problem), renderer.length(problem)
        except RefusedError as error:
            note = note or str(error)
        else:
            columns |= {"tokens": length.total, "of them pictures": length.pictures}
            columns |= {"limit": renderer.max_tokens}
            pictures = tuple(_sized(picture, renderer) for picture in problem.pictures)
    if sizes := _sizes(problem):
        columns["in the file"] = sizes
    if problem.options:
        columns["options"] = ", ".join(problem.options)
    return PageRow(
        id=problem.id,
        reason=reason,
        question=question,
        pictures=pictures,
        gold=problem.answer,
        kind=problem.kind,
        columns=columns,
        note=note or problem.source,
    )


def _sized(picture: Picture, renderer: PromptRenderer) -> Picture:
    return Picture(picture.name, picture.size, partial(renderer.seen, picture))


def _sizes(problem: Problem) -> str:
    try:
        return ", ".join(f"{width} x {height}" for height, width in (one.size() for one in problem.pictures))
    except RefusedError:  # the page says so in its place
        return ""
