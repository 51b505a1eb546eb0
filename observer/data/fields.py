"""Reads single fields of a JSON row, with their types and ranges checked.

Messages name the field, its value and how to mend it; the caller adds the file, line and id.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from observer.data.misnamed import instead
from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError

LEVELS = 9
"""Levels of a ladder whose rows name none: their difficulty in eighths, 0 .. 8."""
LARGEST_LEVEL = 2**31 - 1
LONGEST_ID = 1000
"""Characters of an id: it is written with every completion of its row."""

_SPECIAL_TOKEN = re.compile(r"<\|\w+\|>")
COMMON_FIELDS = frozenset(
    {"id", "answer", "kind", "options", "difficulty", "complexity", "level", "metadata"}
)
"""Fields that every JSONL format reads in the same way."""


def parse_json(text: str) -> Any:
    """Parse strict JSON: no NaN or Infinity, no key twice in an object, no half of a surrogate pair.

    Raises:
        RefusedError: the text is not strict JSON.

    Example:
        >>> parse_json('{"answer": 7}')
        {'answer': 7}
    """

    def refuse_constant(name: str) -> None:
        raise RefusedError(
            f"holds {name}, which is no JSON number; write a finite number or leave the field out"
        )

    def finite(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise RefusedError(f"holds the number {shown(digits)}, which is too large; write a smaller one")
        return value

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise RefusedError(f"holds the key {shown(twice)} twice in one object; keep one")
        return found

    try:
        value = json.loads(
            text, parse_constant=refuse_constant, parse_float=finite, object_pairs_hook=unique_keys
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RefusedError:
        raise
    except UnicodeEncodeError as error:
        half = shown(error.object[error.start : error.end])
        raise RefusedError(f"holds {half}, half of a surrogate pair; mend the character") from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"is no JSON ({error}): {shown(text)}; mend or remove it") from error
    return value


def string(record: Mapping[str, Any], key: str, default: str = "") -> str:
    """Return a text field."""
    value = record.get(key, default)
    if not isinstance(value, str):
        raise wrong(key, value, "a string")
    return value


def strings(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a field that lists non-empty texts; empty where there is none."""
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise wrong(key, value, "a list of non-empty strings")
    return tuple(value)


def number(record: Mapping[str, Any], key: str, default: float, high: float = math.inf) -> float:
    """Return a number field in [0, high]."""
    value = record.get(key, default)
    # Not only finite: the index holds it in single precision.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= min(high, 1e30):
        raise wrong(key, value, "a number >= 0" if math.isinf(high) else f"a number in [0, {high:g}]")
    return float(value)


def identity(record: Mapping[str, Any], default: str) -> str:
    """Return the row's id; whole numbers are taken as text."""
    value = record.get("id", default)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise wrong("id", value, "a non-empty string")
    if isinstance(value, str) and len(value) > LONGEST_ID:
        raise RefusedError(
            f"id is {shown(value)}, {len(value):,} characters; write at most {LONGEST_ID:,}: it is part of "
            "every line that is logged of the row"
        )
    return str(value)


def gold(record: Mapping[str, Any]) -> str:
    """Return the gold answer; numbers are taken as text."""
    if "answer" not in record:
        raise RefusedError(f"has no answer; add the field `answer`{instead(record, 'answer')}")
    value = record["answer"]
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not str(value).strip():
        raise wrong("answer", value, "a non-empty string or a number")
    return str(value)


def ladder_level(record: Mapping[str, Any], difficulty: float) -> int:
    """Return the row's level, or its difficulty in eighths where it names none.

    Example:
        >>> ladder_level({}, difficulty=0.625)
        5
    """
    value = record.get("level", round((LEVELS - 1) * difficulty))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_LEVEL:
        raise wrong("level", value, "a whole number >= 0")
    return value


def leftovers(record: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the row's ``metadata`` together with the fields that the format does not know."""
    named = record.get("metadata", {})
    if not isinstance(named, dict):
        raise wrong("metadata", named, "an object")
    unknown = {key: value for key, value in record.items() if key not in known}
    if twice := sorted(named.keys() & unknown.keys()):
        raise RefusedError(f"holds {shown(twice[0])} both in `metadata` and beside it; keep one")
    return named | unknown


def refuse_special_tokens(text: str) -> None:
    """Refuse text that a chat model would read as structure.

    Raises:
        RefusedError: the text holds a token of the form ``<|...|>``.
    """
    if found := _SPECIAL_TOKEN.search(text):
        raise RefusedError(
            f"its text holds {shown(found[0])}, which the model would read as structure; remove it "
            f"(a picture is marked by {IMAGE_MARK})"
        )


def wrong(key: str, value: object, wanted: str) -> RefusedError:
    """Return the refusal of a field's value."""
    return RefusedError(f"{key} is {shown(value)} ({type(value).__name__}); write {wanted}")
