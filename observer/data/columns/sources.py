"""Reads records from files of other projects: parquet by row group, JSON arrays row by row, JSONL by line.

Nothing is held but the rows that are being read. It maps no columns and opens no pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from observer.data import fields
from observer.data.formats.bad_rows import Place
from observer.data.formats.jsonlines import parsed_lines
from observer.refusal import printable, shown
from observer.types import RefusedError

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json")
GROUP = "@group"
"""The column of a row's key in a JSON object of lists of rows."""
ROWS = 64
"""Rows of a parquet file that are made at a time: each may hold a picture of megabytes."""

PART = 1 << 20
"""Characters of a JSON file that are read at a time."""
_BETWEEN = re.compile(r"[\s,]*")


def files_of(path: str) -> tuple[str, ...]:
    """Return the files of a source: the file itself, or all files of a folder that have one ending.

    Raises:
        RefusedError: there are none, or of several kinds.
    """
    if not Path(path).is_dir():
        if not path.casefold().endswith(ENDINGS):
            raise RefusedError(
                f"path is {shown(path)}; name a file that ends with {', '.join(ENDINGS)}, a folder of such "
                "files, or hub:<owner>/<name>"
            )
        return (path,)
    found = sorted(file for file in Path(path).iterdir() if file.suffix.casefold() in ENDINGS)
    kinds = sorted({file.suffix for file in found})
    if len(kinds) != 1:
        held = f"files of {len(kinds)} kinds ({', '.join(kinds)})" if kinds else "no file of rows"
        raise RefusedError(f"path is the folder {printable(path)}, which holds {held}; name one of its files")
    return tuple(map(str, found))


def records_of(path: str, number: int, ignore: Collection[str]) -> Iterator[tuple[Place, object]]:
    """Yield the place and the record, or its refusal, of each row of a file.

    Args:
        path: of the file.
        number: of the file, for the places.
        ignore: columns that are not read.

    Raises:
        RefusedError: nothing more of the file can be read.
    """
    ending = Path(path).suffix.casefold()
    if ending == ".parquet":
        found = enumerate(_parquet(path, ignore), start=1)
    elif ending == ".json":
        found = enumerate(_json(path), start=1)
    else:
        yield from parsed_lines(path, number)
        return
    for line, record in found:
        yield Place(number, line), record


def _parquet(path: str, ignore: Collection[str]) -> Iterator[object]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            columns = [name for name in file.schema_arrow.names if name not in ignore]
            for batch in file.iter_batches(ROWS, columns=columns, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RefusedError(f"{printable(path)} cannot be read as parquet: {printable(error)}") from error


def _json(path: str) -> Iterator[object]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            start = file.read(PART).lstrip()
            while not start and (more := file.read(PART)):
                start = more.lstrip()
            if start[:1] == "[":
                yield from _array(path, start[1:], file)
            else:
                yield from _object(path, fields.parse_json(start + file.read()))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{printable(path)} cannot be read: {printable(error)}") from error


def _array(path: str, text: str, file: IO[str]) -> Iterator[object]:
    """Yield the items of a JSON array, of which the text is the beginning after its bracket."""
    decoder, row, at, part = json.JSONDecoder(), 0, 0, PART
    while True:
        between = _BETWEEN.match(text, at)
        assert between is not None
        at = between.end()
        if text[at : at + 1] == "]":
            return
        end = at
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError as error:
            raise RefusedError(f"{printable(path)}: row {row + 1} is nested too deeply; mend it") from error
        except ValueError:
            pass  # there may be more of it
        if not at < end < len(text):  # a number at the end may go on
            if not (more := file.read(part)):
                raise RefusedError(
                    f"{printable(path)}: its array does not end after row {row + (end > at)}, or what "
                    f"follows is no JSON: {shown(text[end:])}; nothing after it can be read: mend it"
                )
            text, at, part = text[at:] + more, 0, min(2 * part, 1 << 28)
            continue
        row, part = row + 1, PART
        try:
            yield fields.parse_json(text[at:end])
        except RefusedError as error:
            yield error
        at = end


def _object(path: str, value: object) -> Iterator[object]:
    """Yield the rows of a JSON object: of columns, or of lists of rows."""
    lists = value if isinstance(value, dict) else {}
    if not lists or not all(isinstance(held, list) for held in lists.values()):
        raise RefusedError(
            f"{printable(path)} holds {shown(value)}; write an array of objects, an object of columns (lists "
            "of one length), or an object of lists of objects"
        )
    if all(isinstance(item, dict) for held in lists.values() for item in held):
        yield from ({**item, GROUP: name} for name, held in lists.items() for item in held)
        return
    lengths = {name: len(held) for name, held in lists.items()}
    if len(set(lengths.values())) > 1:
        raise RefusedError(f"{printable(path)} has columns of several lengths: {shown(lengths)}; mend them")
    yield from (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True))
