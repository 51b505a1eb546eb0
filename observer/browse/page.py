"""Writes the page: which groups and pictures there is room for, and the groups as compact JSON.

The browser draws a few groups at a time. The page holds to its limit; what is left out is said on it and
returned to the caller.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from markupsafe import Markup

from observer.browse.curves import HEIGHT, LEFT, WIDTH, KeptFigures, Panel, panels
from observer.browse.pictures import PagePictures, page_pictures
from observer.browse.records import FILE, KeptCompletions, KeptGroup, parsed
from observer.pages.html import colour_styles, policy, source, templates, text_of
from observer.pages.marked_text import LEFT_OUT, TAG_COLOURS, shorten
from observer.pages.pictures import SMALL_SIDE
from observer.types import RefusedError

MEGABYTE = 1_000_000
REST = 300_000
"""Bytes kept free for the style, the script and the curves."""
SHARE_OF_TEXTS = 0.6
"""Of the page, where texts and pictures do not both fit."""
TEXT_BUDGET, NOTE_BUDGET = 20_000, 2_000
"""Characters shown of a text, of a note."""
FAULTS_SHOWN = 20


@dataclass
class Page:
    """A page that is ready to be written."""

    pieces: Iterator[str]
    """Its text, a few groups at a time."""
    told: list[str]
    """Sentences on what is in it, what is not, and why."""


@dataclass
class _Found:
    """What a first reading has found of the groups that are asked for."""

    sizes: list[int]
    """Bytes of each group on the page."""
    pictures: list[list[str]]
    """Names of the pictures of each group."""
    kept: KeptFigures
    """Of all groups."""
    shortened: int = 0
    all_groups: int = 0
    completions: int = 0
    steps: tuple[int, int] = (0, 0)


def browse_page(path: Path, file: IO[bytes], steps: tuple[int, int] | None, most: int) -> Page:
    """Return the page of a run, or of predictions.

    Args:
        path: ``completions.jsonl`` in the directory of a run, or what ``observer predict`` has written; kept
            pictures are beside it.
        file: it, open until the page is written.
        steps: first and last step of the groups that are shown; None for all.
        most: bytes of the page.

    Raises:
        RefusedError: no group is kept, or none of the steps.
    """
    run_dir, of_run = path.parent, path.name == FILE
    records = KeptCompletions(file, path.name)
    found = _look(records, steps)
    if not found.sizes:
        _refuse_none(path, records, found, steps)
    room = most - REST
    names = dict.fromkeys(name for own in found.pictures for name in own)
    wanted = sum((run_dir / name).stat().st_size for name in names if (run_dir / name).is_file()) * 4 // 3
    for_texts = max(int(room * SHARE_OF_TEXTS), room - wanted)
    places = spread(found.sizes, for_texts)
    left = room - sum(found.sizes[place] for place in places)
    pictures = page_pictures(run_dir, chain.from_iterable(found.pictures[place] for place in places), left)
    drawn, curve_faults = panels(run_dir, found.kept) if of_run else ([], [])
    told = _told(run_dir if of_run else None, found, places, pictures, most)
    faults = [*records.faults, *curve_faults]
    if len(faults) > FAULTS_SHOWN:
        faults = [*faults[:FAULTS_SHOWN], f"and {len(faults) - FAULTS_SHOWN} more damaged lines"]
    if records.unfinished:
        faults.append(f"the last line of {path.name} is not whole: the run is still writing, or was killed")
    told += faults
    title = f"Completions of {run_dir.resolve().name if of_run else path.name}"
    return Page(_written(title, _chosen(records, steps, {*places}, pictures), pictures, drawn, told), told)


def spread(sizes: list[int], room: int) -> list[int]:
    """Return the places of as many groups as fit, evenly from the first to the last.

    >>> spread([10] * 8, 45), spread([10] * 3, 45), spread([10], 5)
    ([0, 2, 5, 7], [0, 1, 2], [])
    """
    count = len(sizes)
    while count:
        places = [round(n * (len(sizes) - 1) / max(1, count - 1)) for n in range(count)]
        total = sum(sizes[place] for place in places)
        if total <= room:
            return places
        count = min(count - 1, int(count * room / total))
    return []


def _look(records: KeptCompletions, steps: tuple[int, int] | None) -> _Found:
    found = _Found([], [], KeptFigures())
    nothing = PagePictures()
    seen = []
    for group in records.groups():
        found.all_groups += 1
        found.kept.add(group)
        seen.append(group.step)
        if not _asked_for(group, steps):
            continue
        found.completions += len(group.completions)
        content = _content(group, nothing)
        found.sizes.append(len(content.encode()) + 2)
        mark = LEFT_OUT.partition("{")[0]
        found.shortened += sum(
            len(one["text"]) > TEXT_BUDGET // 2 and mark in shorten(one["text"], TEXT_BUDGET)
            for one in group.completions
        )
        found.pictures.append([one["file"] for one in group.pictures or [] if one and "file" in one])
    found.steps = (min(seen, default=0), max(seen, default=0))
    return found


def _asked_for(group: KeptGroup, steps: tuple[int, int] | None) -> bool:
    return steps is None or steps[0] <= group.step <= steps[1]


def _refuse_none(path: Path, records: KeptCompletions, found: _Found, steps: tuple[int, int] | None) -> None:
    if steps and found.all_groups:
        first, last = found.steps
        raise RefusedError(
            f"--steps {steps[0]}:{steps[1]}: no group of these steps was kept; there are {first}:{last}"
        )
    damaged = f": {records.faults[0]}" if records.faults else ""
    mend = "wait for the first step of the run, or name another"
    if path.name != FILE:
        mend = "name the directory of a run, or a file that observer predict wrote as jsonl"
    raise RefusedError(f"{path} holds no whole line{damaged}; {mend}")


def _chosen(
    records: KeptCompletions, steps: tuple[int, int] | None, places: set[int], pictures: PagePictures
) -> Iterator[str]:
    asked = (group for group in records.groups() if _asked_for(group, steps))
    for place, group in enumerate(asked):
        if place in places:
            yield _content(group, pictures)


def _content(group: KeptGroup, pictures: PagePictures) -> str:
    """Return a group as JSON that no text can break out of."""
    first = group.first
    asked = group.pictures
    content = {
        "s": first.get("step"),
        "i": _short(first["id"], NOTE_BUDGET),
        "l": first.get("level"),
        "q": _short(first.get("question"), TEXT_BUDGET),
        "g": _short(first.get("answer"), NOTE_BUDGET),
        "r": first.get("pass_rate"),
        "t": [[_short(turn["role"], 40), _short(turn["text"], TEXT_BUDGET)] for turn in group.prompt[:50]]
        if group.prompt is not None
        else None,
        "p": None if asked is None else [_picture(picture, pictures) for picture in asked],
        "c": [_completion(one) for one in group.completions],
    }
    text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _completion(one: dict[str, Any]) -> list[Any]:
    return [
        one["index"],
        _short(one["text"], TEXT_BUDGET),
        one.get("tokens"),
        _short(one.get("finish_reason"), 40),
        one["verdict"],
        _short(one.get("reason"), NOTE_BUDGET),
        _short(one.get("extracted"), NOTE_BUDGET),
        {_short(name, 80): value for name, value in list(one.get("components", {}).items())[:100]},
        *(one.get(name) for name in ("reward", "bonus", "weight", "advantage")),
    ]


def _picture(picture: dict[str, Any] | None, pictures: PagePictures) -> list[Any]:
    """Return a picture as its place and its own size, or why there is none."""
    if picture is None:
        return ["it could not be written during the run"]
    if "fault" in picture:
        return [_short(picture["fault"], NOTE_BUDGET)]
    name, (width, height) = picture["file"], picture["size"]
    size = f"{width} x {height}"
    if name in pictures.places:
        return [pictures.places[name], size]
    return [pictures.faults.get(name, "left out: the page is at its limit")]


def _short(text: str | None, budget: int) -> str | None:
    return None if text is None else text_of(shorten(text, budget))


def _finite(content: Any) -> Any:
    """Return a record in which numbers that JSON lacks are texts."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


def _told(
    run_dir: Path | None, found: _Found, places: list[int], pictures: PagePictures, most: int
) -> list[str]:
    of = "" if run_dir is None else " of steps {} .. {}".format(*found.steps)
    whole = "file holds" if run_dir is None else "run has kept"
    told = [
        f"{len(places):,} groups{of}, {len(pictures.urls):,} pictures; the {whole} "
        f"{found.all_groups:,} groups"
    ]
    limit = f"the page may have {most / MEGABYTE:g} MB"
    if len(places) < len(found.sizes):
        told.append(
            f"{len(found.sizes) - len(places):,} of {len(found.sizes):,} groups are left out, evenly over "
            f"the steps: {limit}; raise --max_mb, or show a part with --steps"
        )
    if pictures.side is not None:
        told.append(f"pictures are shrunk to {pictures.side} pixels: {limit}")
    if pictures.left_out:
        told.append(f"{pictures.left_out:,} pictures are left out: {limit}; raise --max_mb")
    if missing := len(pictures.faults) - pictures.left_out:
        told.append(f"{missing:,} pictures are gone from the run or cannot be read; each place says so")
    if found.shortened:
        told.append(f"{found.shortened:,} completions are cut in the middle, which they say: too long")
    summary = run_dir / "summary.json" if run_dir else None
    record = parsed(summary.read_bytes()) if summary and summary.is_file() else None
    if record is not None and record.get("status") != "complete":
        told.append(text_of(f"the run is not complete: its status is {record.get('status')}"))
    return told


def _written(
    title: str, groups: Iterator[str], pictures: PagePictures, drawn: list[Panel], told: list[str]
) -> Iterator[str]:
    style, script = source("page.css") + source("browse.css") + colour_styles(), source("browse.js")
    facts = {
        "tags": list(TAG_COLOURS),
        "leftOut": LEFT_OUT.partition("{")[0],
        "small": SMALL_SIDE,
        "pictures": pictures.urls,
    }
    return (
        templates()
        .get_template("browse.html")
        .generate(
            title=text_of(title),
            told=[text_of(sentence) for sentence in told],
            panels=drawn,
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            groups=(Markup(group) for group in groups),  # JSON without < and >
            facts=facts,
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )
