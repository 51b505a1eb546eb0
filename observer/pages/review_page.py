"""Rows on one page of HTML, for people to look through and, where asked, to decide on.

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
from observer.pages.pictures import embedded
from observer.types import Picture, Verdict

QUESTION_BUDGET, TEXT_BUDGET, NOTE_BUDGET = 6000, 6000, 600
"""Characters shown of a question, of a completion, of anything else."""


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


def review_page(
    rows: Iterable[PageRow], title: str, ladder: str = "", about: str = "", decide: bool = True
) -> Iterator[str]:
    """Return a page of HTML piece by piece; one row at a time is in memory.

    Args:
        rows: in the order in which they are shown; their pictures are decoded one after the other.
        title: of the page.
        ladder: digest of the rows: decisions are kept and exported under it.
        about: a sentence below the title.
        decide: whether rows can be kept, dropped and corrected; else the page only shows them.
    """
    ids: list[str] = []

    def shown() -> Iterator[dict[str, Any]]:
        for row in rows:
            ids.append(row.id)
            yield _shown(row)

    style = source("page.css") + colour_styles()
    script = source("review.js")
    template = templates().get_template("review.html")
    return template.generate(
        rows=shown(),
        title=text_of(title),
        about=text_of(about),
        decide=decide,
        facts=lambda: {"format": FORMAT, "ladder": ladder, "ids": ids},
        style=style,
        script=script,
        policy=policy(style, script),
    )


def _shown(row: PageRow) -> dict[str, Any]:
    question = row.question.replace("<image>", "", 1) if len(row.pictures) == 1 else row.question
    return {
        "id": text_of(shorten(row.id, NOTE_BUDGET)),
        "reason": text_of(row.reason),
        "note": text_of(shorten(row.note, NOTE_BUDGET)),
        "kind": text_of(row.kind),
        "gold": text_of(shorten(row.gold, NOTE_BUDGET)),
        "pictures": [
            embedded(picture)._asdict() | {"name": text_of(picture.name)} for picture in row.pictures
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
    }
