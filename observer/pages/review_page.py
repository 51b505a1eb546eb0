"""Rows on one page of HTML, for people to look through, to compare models by, or to decide on.

The page is one file: pictures, style and script are in it, and its policy forbids everything else, so that it
asks no network and a text that holds a script stays a text. Decisions are kept by the browser under the
digest of the rows, and exported as the file that ``observer.pages.decisions`` reads.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from observer.pages.decisions import FORMAT
from observer.pages.marked_text import (
    FAINT,
    INK,
    TAG_COLOURS,
    VERDICT_COLOURS,
    Colour,
    colours,
    printable,
    shorten,
)
from observer.pages.pictures import LARGEST_SIDE, embedded
from observer.types import Picture, Verdict

QUESTION_BUDGET, TEXT_BUDGET, NOTE_BUDGET = 6000, 6000, 600
"""Characters shown of a question, of a completion, of anything else."""

_NAMES = {FAINT: "faint", INK: "ink"} | {
    colour: f"{tag}-{part}"
    for tag, pair in TAG_COLOURS.items()
    for colour, part in zip(pair, ("tag", "text"), strict=True)
}
FILTERS = {"reason": "every reason", "kind": "every kind"}
"""By what rows are filtered, with the words for all of them."""
_LONE = {code: "\N{REPLACEMENT CHARACTER}" for code in range(0xD800, 0xE000)}


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

    style = _source("page.css") + _colours()
    script = _source("review.js")
    allowed = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    template = _templates().get_template("review.html")
    return template.generate(
        rows=shown(),
        title=_text(title),
        about=_text(about),
        decide=decide,
        filters=filters,
        facts=lambda: {"format": FORMAT, "ladder": ladder, "ids": ids},
        style=style,
        script=script,
        policy="; ".join([*allowed, f"style-src {_hash(style)}", f"script-src {_hash(script)}"]),
    )


def _shown(row: PageRow, filters: Mapping[str, str], side: int) -> dict[str, Any]:
    groups = {"reason": row.reason, "kind": row.kind, **row.groups}
    question = row.question.replace("<image>", "", 1) if len(row.pictures) == 1 else row.question
    return {
        "id": _text(shorten(row.id, NOTE_BUDGET)),
        "reason": _text(row.reason),
        "note": _text(shorten(row.note, NOTE_BUDGET)),
        "kind": _text(row.kind),
        "groups": {name: _text(groups[name]) or "-" for name in filters},
        "gold": _text(shorten(row.gold, NOTE_BUDGET)),
        "pictures": [
            embedded(picture, side)._asdict() | {"name": _text(picture.name)} for picture in row.pictures
        ],
        "question": _marked(shorten(question.strip(), QUESTION_BUDGET)),
        "columns": {
            _text(name): f"{value:.4g}" if isinstance(value, float) else _text(f"{value}")
            for name, value in row.columns.items()
        },
        "answers": [
            {
                "text": _text(shorten(answer.text, NOTE_BUDGET)),
                "count": answer.count,
                "verdict": "" if answer.verdict is None else str(answer.verdict),
                "completion": _marked(shorten(answer.completion, TEXT_BUDGET)),
            }
            for answer in row.answers
        ],
        "sides": list(map(_side, row.sides)),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": _text(side.name),
        "verdict": "" if side.verdict is None else str(side.verdict),
        "found": None if side.found is None else _text(shorten(side.found, NOTE_BUDGET)),
        "note": _text(shorten(side.note, NOTE_BUDGET)),
        "text": _marked(shorten(side.text, TEXT_BUDGET)),
    }


def _marked(text: str) -> list[tuple[str, str]]:
    """Return the pieces of a text by colour, each with the name of its class."""
    text = _text(text)
    pieces, place = [], 0
    for colour, same in groupby(colours(text)):
        end = place + len(list(same))
        pieces.append((_NAMES[colour], text[place:end]))
        place = end
    return pieces


def _text(text: str) -> str:
    """Return a text that a page can hold: no control characters, no halves of characters."""
    return printable(text).translate(_LONE)


def _colours() -> str:
    """Return the style of what is coloured, by its class."""
    verdicts = {f"verdict-{verdict}": colour for verdict, colour in VERDICT_COLOURS.items()}
    named = {name: colour for colour, name in _NAMES.items()}
    return "".join(f".{name} {{ color: {_css(colour)}; }}\n" for name, colour in (named | verdicts).items())


def _css(colour: Colour) -> str:
    return f"rgb({', '.join(map(str, colour))})"


def _hash(text: str) -> str:
    """Return how a policy names the one style or script that it allows."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("observer.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    """Return a file of ours as it stands."""
    environment = _templates()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
