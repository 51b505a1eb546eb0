"""Rows on one page of HTML, for people to look through, to compare models by, or to decide on.

The page is one file: pictures, style and script are in it, and its policy forbids everything else, so that it
asks no network and a text that holds a script stays a text. Decisions are kept by the browser under the
digest of the rows, and exported as the file that ``observer.pages.decisions`` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from observer.pages.decisions import FORMAT
from observer.pages.html import colour_styles, marked, policy, source, templates, text_of
from observer.pages.marked_text import shorten
from observer.pages.pictures import LARGEST_SIDE, embedded
from observer.types import Picture, Verdict

QUESTION_BUDGET, TEXT_BUDGET, NOTE_BUDGET = 6000, 6000, 600
"""Characters shown of a question, of a completion, of anything else."""

FILTERS = {"reason": "every reason", "kind": "every kind"}
"""By what rows are filtered, with the words for all of them."""


@dataclass(frozen=True)
class Answer:
    """An answer that was sampled, with how often it came."""

    text: str
    """The answer found in the completions; "" where none was found."""
    count: int
    verdict: Verdict | None = None
    completion: str = ""
    """One of the completions that gave it."""


@dataclass(frozen=True)
class Side:
    """What one of several models wrote, which are shown side by side."""

    name: str
    """Of the model."""
    text: str
    """The response; tags in it are coloured."""
    verdict: Verdict | None
    found: str | None
    """The answer found in it; None where there is none."""
    note: str = ""
    """More on it, such as why its answer is wrong."""


@dataclass(frozen=True)
class PageRow:
    """A row on the page."""

    id: str
    reason: str
    """Why it is on the page, a few words that many rows share: rows are filtered by it."""
    question: str
    """Its text; tags in it are coloured."""
    pictures: tuple[Picture, ...]
    gold: str
    kind: str
    answers: tuple[Answer, ...] = ()
    columns: Mapping[str, str | float] = field(default_factory=dict)
    """What was measured of it."""
    note: str = ""
    """More on why it is here, of this row alone."""
    sides: tuple[Side, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    """By what it is filtered beside its reason and its kind."""


def review_page(
    rows: Iterable[PageRow],
    title: str,
    ladder: str = "",
    about: str = "",
    decide: bool = True,
    filters: Mapping[str, str] = FILTERS,
    side: int = LARGEST_SIDE,
) -> Iterator[str]:
    """Return a page of HTML piece by piece; one row at a time is in memory.

    Args:
        rows: in the order in which they are shown; their pictures are decoded one after the other.
        title: of the page.
        ladder: digest of the rows: decisions are kept and exported under it.
        about: a sentence below the title.
        decide: whether rows can be kept, dropped and corrected; else the page only shows them.
        filters: by what rows are filtered, ``reason``, ``kind`` or one of their groups -> the words for all
            of them.
        side: pixels of the longer side of a picture; a larger one is shrunk.
    """
    ids: list[str] = []

    def shown() -> Iterator[dict[str, Any]]:
        for row in rows:
            ids.append(row.id)
            yield _shown(row, filters, side)

    style = source("page.css") + colour_styles()
    script = source("review.js")
    template = templates().get_template("review.html")
    return template.generate(
        rows=shown(),
        title=text_of(title),
        about=text_of(about),
        decide=decide,
        filters=filters,
        facts=lambda: {"format": FORMAT, "ladder": ladder, "ids": ids},
        style=style,
        script=script,
        policy=policy(style, script),
    )


def _shown(row: PageRow, filters: Mapping[str, str], side: int) -> dict[str, Any]:
    groups = {"reason": row.reason, "kind": row.kind, **row.groups}
    question = row.question.replace("<image>", "", 1) if len(row.pictures) == 1 else row.question
    return {
        "id": text_of(shorten(row.id, NOTE_BUDGET)),
        "reason": text_of(row.reason),
        "note": text_of(shorten(row.note, NOTE_BUDGET)),
        "kind": text_of(row.kind),
        "groups": {name: text_of(groups[name]) or "-" for name in filters},
        "gold": text_of(shorten(row.gold, NOTE_BUDGET)),
        "pictures": [
            embedded(picture, side)._asdict() | {"name": text_of(picture.name)} for picture in row.pictures
        ],
        "question": marked(shorten(question.strip(), QUESTION_BUDGET)),
        "columns": {
            text_of(name): f"{value:.4g}" if isinstance(value, float) else text_of(f"{value}")
            for name, value in row.columns.items()
        },
        "answers": [
            {
                "text": text_of(shorten(answer.text, NOTE_BUDGET)),
                "count": answer.count,
                "verdict": "" if answer.verdict is None else str(answer.verdict),
                "completion": marked(shorten(answer.completion, TEXT_BUDGET)),
            }
            for answer in row.answers
        ],
        "sides": list(map(_side, row.sides)),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": text_of(side.name),
        "verdict": "" if side.verdict is None else str(side.verdict),
        "found": None if side.found is None else text_of(shorten(side.found, NOTE_BUDGET)),
        "note": text_of(shorten(side.note, NOTE_BUDGET)),
        "text": marked(shorten(side.text, TEXT_BUDGET)),
    }
