"""Writes the rows of a ladder in the schemas of other trainers; the presets of ``Columns`` read them back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from observer.data import Columns, Ladder
from observer.data.images import resolve_picture
from observer.data.rows import Rows
from observer.ladder.output.made_from import LINES
from observer.ladder.output.parquet import Writer
from observer.refusal import shown
from observer.run.files import whole_file
from observer.types import IMAGE_MARK, Problem, RefusedError

BLOCK = 32
"""Rows of a parquet file that are written at a time: each may hold pictures of megabytes."""
TEXT = pa.string()
IMAGE = pa.struct({"bytes": pa.binary(), "path": TEXT})
"""A picture as ``datasets`` stores it."""
NOTES = {"id": TEXT, "source": TEXT, "difficulty": pa.float64(), "level": pa.int32()}
"""Columns that no trainer needs, for rewards and logs; what was not measured is null."""
_ITEMS = pa.list_(pa.struct({"type": TEXT, "text": TEXT}))
_ABOUT = {
    "data_source": TEXT,
    "ability": TEXT,
    "reward_model": pa.struct({"style": TEXT, "ground_truth": TEXT}),
}
_EXTRA = pa.struct({"split": TEXT, "index": pa.int64(), **NOTES})
COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "trl": {"prompt": pa.list_(pa.struct({"role": TEXT, "content": _ITEMS})), "solution": TEXT, **NOTES},
    "verl": {"prompt": pa.list_(pa.struct({"role": TEXT, "content": TEXT})), **_ABOUT, "extra_info": _EXTRA},
    "easy_r1": {"problem": TEXT, "answer": TEXT, **NOTES},
}
"""Trainer -> its columns beside ``images``, of a parquet file that holds the bytes of pictures."""
MEDIA = {"verl": ("<video>", "<audio>"), "ms_swift": ("<video>", "<audio>")}
"""Trainer -> what stands for a file in a text, and so must not be in one."""


def export_rows(ladder: Ladder, trainer: str, path: Path) -> int:
    """Write the rows of a ladder in their order, a few at a time, into a whole file or none.

    Args:
        ladder: whose files and pictures are compared with its manifest first.
        trainer: one of ``COLUMNS`` or ``LINES``, which is also a preset of ``Columns``.
        path: of the file.

    Returns:
        How many rows there are.

    Raises:
        RefusedError: the ladder is not as it was built, or a row would be another one there; names it.
    """
    rows = ladder.read()
    records = _records(ladder, rows, trainer, path)
    if trainer in LINES:
        with whole_file(path) as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        return len(rows)
    schema = pa.schema({**COLUMNS[trainer], "images": pa.list_(IMAGE)})
    told = {"info": {"features": {field.name: _feature(field.type) for field in schema}}}
    schema = schema.with_metadata({"huggingface": json.dumps(told)})
    with whole_file(path, "wb") as file, closing(Writer(schema, file, BLOCK)) as writer:
        for record in records:
            held = [{"bytes": Path(name).read_bytes(), "path": Path(name).name} for name in record["images"]]
            writer.write(record | {"images": held})
    return len(rows)


def _records(ladder: Ladder, rows: Rows, trainer: str, path: Path) -> Iterator[dict[str, Any]]:
    """Yield rows with the names of their pictures; each is what the preset will read from the file."""
    preset = Columns(str(path), preset=trainer, images=ladder.root)
    for problem, (_, written) in zip(rows, ladder.records(), strict=True):
        given: Any = ladder.translated(written)
        notes = {"id": problem.id, "source": problem.metadata.get("source")}
        notes |= {name: given.get(name) for name in ("difficulty", "level")}
        try:
            record = _record(problem, trainer, notes)
            record["images"] = [str(resolve_picture(it.name, ladder.root)) for it in problem.pictures]
            back = preset.translated(record)
            found = (back["turns"][-1].text, back["answer"], len(back["images"]))
            meant = (problem.question, problem.answer, len(problem.pictures))
            if found != meant:
                raise RefusedError(
                    f"its question, answer and number of pictures {shown(meant)} would be read as "
                    f"{shown(found)}; mend the row and build the ladder again"
                )
        except RefusedError as error:
            raise RefusedError(
                f"row {shown(problem.id)} cannot be written --to {trainer}: {error}"
            ) from error
        yield record


def _record(problem: Problem, trainer: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row beside its pictures."""
    turns = [{"role": turn.role, "content": turn.text} for turn in problem.turns]
    for mark in MEDIA.get(trainer, ()):
        if any(mark in turn.text for turn in problem.turns):
            raise RefusedError(f"its text holds {mark}, which stands for a file there; reword it")
    if trainer == "trl":  # which puts the pictures of a text before the first turn, not where their marks are
        items = [{"role": turn.role, "content": list(_items(turn.text))} for turn in problem.turns]
        return {"prompt": items, "solution": problem.answer, **notes}
    if trainer == "verl":
        about = {"data_source": notes["source"], "ability": problem.kind}
        reward = {"style": "rule", "ground_truth": problem.answer}
        extra = {"split": "train", "index": problem.row, **notes}
        return {"prompt": turns, **about, "reward_model": reward, "extra_info": extra}
    if trainer == "ms_swift":
        return {"messages": turns, "solution": problem.answer, **notes}
    if len(turns) > 1:
        roles = ", ".join(turn.role for turn in problem.turns)
        raise RefusedError(
            f"it has the turns {roles}, and a row there is one question; write --to trl or verl"
        )
    return {"problem": problem.question, "answer": problem.answer, **notes}


def _items(text: str) -> Iterator[dict[str, str | None]]:
    for place, part in enumerate(text.split(IMAGE_MARK)):
        if place:
            yield {"type": "image", "text": None}
        if part:
            yield {"type": "text", "text": part}


def _feature(kind: pa.DataType) -> Any:
    """Return a column's type as ``datasets`` notes it in a file, so that pictures are opened as such."""
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind.fields}
    return {"_type": "Value", "dtype": {"double": "float64"}.get(str(kind), str(kind))}
