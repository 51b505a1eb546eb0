"""The review list of a ladder as rows of a page that people decide on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from observer.data.formats.ladder import MANIFEST, REVIEW
from observer.data.images import file_picture
from observer.pages.review_page import Answer, PageRow, review_page
from observer.types import RefusedError, Verdict

WORDS = {
    "Verifiable": "unverifiable",
    "Duplicates": "two gold answers",
    "NoPicture": "solved without its picture",
    "Review": "rarely or never right",
}
"""Step -> why it lists a row, as people filter rows."""


def ladder_page(folder: Path) -> Iterator[str]:
    """Return the review page of a ladder piece by piece.

    Args:
        folder: that a build has finished.

    Raises:
        RefusedError: it holds no ladder.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        together = _places(folder / REVIEW)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RefusedError(
            f"--output {folder} holds no ladder ({error}); name the folder of observer ladder build"
        ) from error
    about = (
        f"{len(together)} of {manifest['input']['rows']} rows. Export what you decide, and name the file as "
    )
    return review_page(
        _page_rows(folder, together.values()),
        title="Rows to review",
        ladder=manifest["input"]["digest"],
        about=about + "Review.decisions of the next build.",
    )


def _places(path: Path) -> dict[int, list[int]]:
    """Return row -> where its lines begin: what was sampled stays in the file."""
    found: dict[int, list[int]] = {}
    with path.open("rb") as file:
        begin = 0
        for line in file:
            found.setdefault(json.loads(line)["row"], []).append(begin)
            begin += len(line)
    return found


def _page_rows(folder: Path, places: Iterable[Sequence[int]]) -> Iterator[PageRow]:
    with (folder / REVIEW).open("rb") as file:
        for begins in places:
            lines = []
            for begin in begins:
                file.seek(begin)
                lines.append(json.loads(file.readline()))
            yield _page_row(folder, lines)


def _page_row(folder: Path, lines: Sequence[Mapping[str, Any]]) -> PageRow:
    """Return a row; it has several lines where several steps have something to say of it."""
    line = lines[0]
    items = [item for turn in json.loads(line["message"]) for item in _items(turn["content"])]
    pictures = [item["image"] for item in items if item["type"] == "image"]
    return PageRow(
        id=line["id"],
        reason=" and ".join(dict.fromkeys(WORDS.get(one["step"], one["step"]) for one in lines)),
        question=line["question"],
        pictures=tuple(file_picture(name, folder) for name in pictures),
        gold=line["answer"],
        kind=line["kind"] or "none",
        answers=_answers(line["samples"]),
        columns={name: value for name, value in line["measured"].items() if isinstance(value, int | float)},
        note="; ".join(one["why"] for one in lines),
    )


def _items(content: Any) -> list[Mapping[str, Any]]:
    return content if isinstance(content, list) else []


def _answers(samples: Sequence[Mapping[str, Any]]) -> tuple[Answer, ...]:
    """Return the answers that were sampled, the most frequent first, each with one of its completions."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for sample in samples:
        found.setdefault((sample["extracted"] or "", sample["verdict"]), []).append(sample)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    return tuple(
        Answer(text, len(same), Verdict(verdict), same[0]["text"]) for (text, verdict), same in ranked
    )
