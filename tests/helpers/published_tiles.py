"""Boards of the tiles as rows in published schemas, in the files that a configuration names."""

import io
import re
from pathlib import Path

from observer.data import Tiles
from published import SCHEMAS, written_as

IDS = ("id", "pid", "index", "sample_index")
QUESTIONS = {"we_math": "question"}
"""Preset -> the column whose text is no question of its schema's examples."""
NAMED = {"we_math": "image_path", "scemqa": "ImagePath", "clevr_counting": "image_path", "mathv360k": "image"}
"""Preset -> the column that names a picture by its path."""


def png(problem):
    """The bytes of a board."""
    file = io.BytesIO()
    problem.pictures[0].load().save(file, "PNG")
    return file.getvalue()


def row(preset, place, problem, folder):
    """A board as a row of a schema; a picture that is named lies below the folder.

    Rows of the schemas ask ``What is n + 1?``: with n one less than the sum, their gold answers and options
    are the board's.
    """
    n = int(problem.answer) - 1
    question = problem.question.replace("<image>", "").strip()
    made = _asking(SCHEMAS[preset][0](n), f"What is {n} + 1?", question, png(problem))
    for name in IDS:
        if name in made and preset != "mathv360k":
            made[name] = type(made[name])(place)
    if preset in QUESTIONS:
        made[QUESTIONS[preset]] = question
    if preset == "polymath":
        made["final_answer"] = problem.answer
    if preset in NAMED:
        below = "data_images/" if preset == "mathv360k" else ""
        path = folder / f"{below}boards/{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(problem))
        made[NAMED[preset]] = f"boards/{place}.png".removesuffix(".png" if preset == "scemqa" else "")
    return made


def _asking(value, old, new, picture):
    """A row's value with another question and picture."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_asking(item, old, new, picture) for item in value]
    if isinstance(value, dict):
        found = {name: _asking(item, old, new, picture) for name, item in value.items()}
        return found | {"bytes": picture} if "bytes" in found else found
    return value


def write(path, preset, problems):
    """Write the file, or the one file of the folder, that a configuration names."""
    path = Path(path)
    file = path if re.fullmatch(r"\.(json|jsonl|parquet)", path.suffix) else path / "part.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    records = [row(preset, place, problem, file.parent) for place, problem in enumerate(problems)]
    Path(written_as(file.parent, preset, records)).rename(file)


def boards(split, first, count):
    """So many boards of a split."""
    rows = Tiles(rows=first + count + 8, split=split).read()
    return [rows[place] for place in range(first, first + count)]
