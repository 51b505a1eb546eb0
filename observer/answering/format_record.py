"""The response format as a file beside a model: the system prompt it was trained with, how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from observer import strategies
from observer.refusal import printable, shown
from observer.rewards import ResponseFormat
from observer.types import RefusedError

FORMAT_FILE = "response_format.json"
"""The record, in an exported model."""
LARGEST = 2**20
"""Bytes of a record: a system prompt is a few hundred."""


def format_text(response_format: ResponseFormat) -> str:
    """Return the text of ``FORMAT_FILE``: name and options of a format, and the system prompt in effect.

    >>> from observer.rewards import Free
    >>> print(format_text(Free(system_prompt="")), end="")
    {
      "format": "Free",
      "options": {
        "system_prompt": ""
      },
      "system_prompt": ""
    }
    """
    record = {
        "format": type(response_format).__name__,
        "options": asdict(response_format),  # type: ignore[call-overload]
        "system_prompt": response_format.prompt,
    }
    return json.dumps(record, indent=2, ensure_ascii=False, default=repr) + "\n"


def recorded_format(folder: Path) -> ResponseFormat | None:
    """Return the response format that a model's folder names; None where it has no record of one.

    Nothing that the record names is imported: formats are known by name once their file was imported.

    Args:
        folder: of the model.

    Raises:
        RefusedError: the record is damaged, or its format is not known or has other options.
    """
    path = folder / FORMAT_FILE
    if not path.is_file():
        return None
    where = f"{printable(path)}: "
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        record = json.loads(path.read_text(encoding="utf-8"))
        name, options = record["format"], record["options"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(f"{where}it cannot be read: {error}; name a --response_format") from error
    return format_of(name, options, where, "name a --response_format, or its file with --plugins")


def format_of(name: object, options: object, where: str, mend: str) -> ResponseFormat:
    """Return a format by its name, with options as a file holds them.

    Args:
        name: of a strategy that is known.
        options: name -> value.
        where: the begin of messages: the file.
        mend: the end of messages.

    Raises:
        RefusedError: there is no such format, or it has no such options.
    """
    known = strategies.members("format")
    if not isinstance(name, str) or name not in known:
        raise RefusedError(
            f"{where}the response format {shown(name)} is not known ({', '.join(known)}); {mend}"
        )
    if not isinstance(options, Mapping):
        raise RefusedError(f"{where}the options of {name} are {shown(options)}, no mapping; {mend}")
    return _made(known[name], dict(options), where, mend)


def _made(cls: type, options: dict[str, Any], where: str, mend: str) -> ResponseFormat:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, None)
    try:
        given = parser.parse_object(options)
        made: ResponseFormat = cls(
            **{key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        )
    except RefusedError:
        raise
    except Exception as error:  # jsonargparse raises its own, which are none of ours
        said = " ".join(str(error).split())[:300]
        raise RefusedError(f"{where}{cls.__name__} has no such options: {said}; {mend}") from error
    return made
