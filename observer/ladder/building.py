"""Builds a ladder in a folder, or a part of its chunks, or puts parts together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from observer.ladder.asker import ModelAsker
from observer.ladder.chunks import MADE, ChunkFolder, Part
from observer.ladder.interrupting import finishing
from observer.ladder.measuring import Measuring
from observer.ladder.output.answers import spoken
from observer.ladder.output.made_from import digests, outdated
from observer.ladder.output.writing import REMOVED, Writing
from observer.ladder.progress import Shown
from observer.ladder.recipe import Recipe
from observer.ladder.selecting import Selecting
from observer.run.files import remove_unfinished, temporary_name
from observer.run.locks import only_one

WORK, PARTS = "work", "parts"
"""Below the folder of a ladder: its chunks, and those of parts."""


def build(
    recipe: Recipe, folder: Path, part: Part | None = None, shown: Shown | None = None
) -> dict[str, Any]:
    """Build a ladder; what an earlier build of the same has finished is not done again.

    Args:
        recipe: what is built.
        folder: of the ladder, made where it does not exist.
        part: measure this part of the chunks and write nothing else; None for all.
        shown: where progress goes.

    Returns:
        The manifest; empty for a part.

    Raises:
        RefusedError: the input or an option is refused, the folder holds something else, or a step leaves no
            row.
        KeyboardInterrupt: it was stopped between two chunks.
    """
    shown = shown or Shown()
    work = work_of(folder, part)
    with _alone(folder, work):
        measuring = Measuring(recipe, recipe.opened(), work, ModelAsker)
        measuring.claim()
        selecting = Selecting(measuring)
        _measure(measuring, selecting, part, shown)
        if part is not None:
            shown.say(f"part {part} is finished; observer ladder merge puts the parts together")
            return {}
        selecting.finish(folder / REMOVED)
        return _write(measuring, selecting, folder, shown)


def _measure(measuring: Measuring, selecting: Selecting, part: Part | None, shown: Shown) -> None:
    """Measure what is missing; steps before the first that asks a model select, so that it asks no more."""
    steps = range(len(measuring.recipe.steps))
    with finishing() as stopped:  # all else is done again in minutes, and stops at once
        for place in steps:
            measuring.measure(place, part, np.sort(selecting.table.rows_N), shown, stopped)
            more = part is None or any(measuring.left(after, part) for after in steps[place + 1 :])
            if place < measuring.first and (measuring.decided or more):
                selecting.go_on()
                if stopped():
                    raise KeyboardInterrupt


def work_of(folder: Path, part: Part | None) -> Path:
    """Return where the chunks of a ladder, or of a part of it, are."""
    return folder / WORK if part is None else folder / PARTS / part.folder


def merge(recipe: Recipe, folder: Path, others: list[Path], shown: Shown | None = None) -> dict[str, Any]:
    """Put the parts of a ladder together, which are below its folder or in others, and write it.

    Args:
        recipe: as the parts were built.
        folder: of the ladder.
        others: further folders with parts.
        shown: where progress goes.

    Returns:
        The manifest.

    Raises:
        RefusedError: chunks are missing, or were made by another recipe or from another input.
    """
    shown = shown or Shown()
    work = folder / WORK
    with _alone(folder, work):
        measuring = Measuring(recipe, recipe.opened(), work, ModelAsker)
        found = sorted(path for each in (folder, *others) for path in (each / PARTS).glob("*-of-*"))
        for path in found:
            _take(measuring, path)
        measuring.refuse_unfinished([Part.read(path.name.replace("-of-", "/")) for path in found])
        selecting = Selecting(measuring)
        selecting.finish(folder / REMOVED)
        return _write(measuring, selecting, folder, shown)


def _take(measuring: Measuring, path: Path) -> None:
    """Copy the chunks of a part that are not there yet."""
    for place, step in enumerate(measuring.recipe.steps):
        if not step.measures:
            continue
        theirs = ChunkFolder(path / type(step).__name__, measuring.count, measuring.recipe.chunk_rows)
        own = measuring.chunks(step)
        if not (theirs.folder / MADE).is_file():
            continue
        theirs.claim(measuring.made(place))
        own.claim(measuring.made(place))
        for chunk in own.missing(range(len(own))):
            if theirs.file(chunk).is_file():
                beside = temporary_name(own.file(chunk))
                shutil.copyfile(theirs.file(chunk), beside)
                beside.replace(own.file(chunk))


def _write(measuring: Measuring, selecting: Selecting, folder: Path, shown: Shown) -> dict[str, Any]:
    for stage in selecting.stages:
        shown.say(f"{stage.step}: {stage.after:,} of {stage.before:,} rows stay")
    shown.say(f"writing {len(selecting.table):,} rows")
    before = digests(folder)
    manifest = Writing(measuring, selecting, folder).write()
    for name in outdated(folder, before, manifest["files"]):
        shown.say(f"{name} was made from what was here before: remove it, and make it again")
    for line in spoken(manifest["answers"]["ladder"], manifest["answers"]["input"]):
        shown.say(line)
    return manifest


@contextmanager
def _alone(folder: Path, work: Path) -> Iterator[None]:
    """Keep a second builder out of a folder of chunks, and remove what a killed one has left half written."""
    with only_one(work, folder, "built"):
        for place in (folder, *work.iterdir()):
            if place.is_dir():
                remove_unfinished(place)
        yield
