"""Fields whose name is not the one that is read, and which a row would go without unnoticed.

Every field that a format does not know becomes metadata. A picture under another name would leave its row to
train as text, and options under another name would leave its letters without a meaning: such fields are
refused, with the name that is read. In ``metadata`` they may have any name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from observer.refusal import shown
from observer.types import RefusedError

LOOK_ALIKES = {
    "answer": re.compile(
        r"solutions?|labels?|gt|groundtruths?|(gt|gold|correct|final|reference|expected)?answers?|gold"
        r"|targets?|reference|correct|expected|answerkey|correctoption|rewardmodel|results?|responses?|outputs?"
    ),
    "question": re.compile(
        r"(question|problem)(s|text)?|query|prompt|instruction|input|text|stem|messages?|conversations?"
    ),
    "message": re.compile(r"messages?|conversations?|chat|dialogue|prompt|question"),
    "options": re.compile(r"(answer)?(options?|choices?)|candidates|optionlist"),
    "completions": re.compile(r"(completion|response|output|generation|prediction|sample)s?"),
}
"""Field -> names, in lower-case letters alone, that other data sets give it."""
LONGEST_PATH = 4096
"""Characters of a text above which it is no path."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PICTURE_WORD = re.compile(r"(image|img|picture|pic)s?")
_FORM_WORD = re.compile(
    r"(path|file|filename|url|uri)s?|bytes|base|b|data|list|src|decoded|raw|input|question|pil"
)
"""Words that may stand beside those for pictures: the name still says only that here is the picture."""
_OTHER_WORD = re.compile(r"solution|answer|explanation|rationale|output|target|thumbnail|icon|logo")
"""Words of names whose pictures are not the question's."""
_PLACE = re.compile(r"path|url|uri|src|file_?(name)?")
"""Keys under which an object names the picture that it is."""
_NOTHING = frozenset(
    {"", "none", "null", "nan", "n/a", "no", "false", "0", "no image", "no picture", "<image>"}
)
_FILE = re.compile(
    r"\S+(?: \S+){0,4}\.(?:png|jpe?g|jfif|webp|gif|bmp|tiff?|svg|heic|avif|ppm|jp2)(?:\?\S*)?", re.IGNORECASE
)
_ENCODED = re.compile(r"data:image/|(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk)[A-Za-z0-9+/\s]{48}")


def refuse_misspelt(record: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse a field that is one of the format's but for case, blanks or signs, or that holds the options.

    Args:
        record: a row.
        known: names of the fields that are read.

    Raises:
        RefusedError: names the field and the name that is read.
    """
    for key in record.keys() - known:
        plain = _letters(key)
        right = next((name for name in known if _letters(name) == plain and name not in record), None)
        if right is None and "options" in known - record.keys() and LOOK_ALIKES["options"].fullmatch(plain):
            value = record[key]
            texts = [*value.values()] if isinstance(value, dict) else value
            if isinstance(texts, list) and len(texts) > 1 and all(isinstance(text, str) for text in texts):
                right = "options"
        if right is not None:
            raise RefusedError(
                f"holds {shown(key)}, which is not read; rename it to `{right}`, or move it into `metadata` "
                "to keep it as a note"
            )


def instead(record: Mapping[str, Any], field: str) -> str:
    """Return the end of a message that a field is missing: which one may be meant; empty if there is none.

    Example:
        >>> instead({"question": "How many?", "solution": "7"}, "answer")
        '; the row holds `solution`: rename it if that is the answer'
    """
    found = [key for key in record if key != field and LOOK_ALIKES[field].fullmatch(_letters(key))]
    if not found:
        return ""
    listed = ", ".join(f"`{key}`" if key.isidentifier() else shown(key) for key in found)
    which = "it if that is" if len(found) == 1 else "the one that is"
    return f"; the row holds {listed}: rename {which} the {field}"


def refuse_unread_pictures(
    record: Mapping[str, Any],
    known: frozenset[str],
    read: Sequence[str],
    place: str,
    note: str = "move the field into `metadata`",
) -> None:
    """Refuse a field that holds a picture and is not read.

    Where no picture is read, that is any field that names or holds one. Where some are, it is a field whose
    name says that it holds the row's pictures, if one of its files is none of those; URLs may tell where they
    are from.

    Args:
        record: a row.
        known: names of the fields that are read.
        read: names of the row's pictures.
        place: where pictures belong, for the message.
        note: how to keep the field as a note, for the message.

    Raises:
        RefusedError: names the field, the picture and the place.
    """
    files = {PurePosixPath(name).name for name in read}
    for key, value in record.items():
        if key in known or _is_of_another(key):
            continue
        plain = _says_picture(key)
        if read:
            found = (name for name in _pictures(value, plain=False) if plain and "://" not in name)
            lost = next((name for name in found if PurePosixPath(name).name not in files), None)
        else:
            lost = next(_pictures(value, plain), None)
        if lost is not None:
            raise RefusedError(
                f"holds {shown(key)} ({shown(lost)}), which looks like a picture and is not read; name the "
                f"picture in {place}, or {note} to keep it as a note"
            )


def _pictures(value: object, plain: bool) -> Iterator[str]:
    """Yield the pictures that a field names or holds.

    Args:
        value: of the field.
        plain: the field's name says that it holds a picture, so that any text is the name of one.
    """
    if isinstance(value, str):
        if (value.strip().casefold() not in _NOTHING) if plain else _looks_like_a_picture(value):
            yield value
    elif isinstance(value, list):
        texts = all(isinstance(item, str) for item in value)
        if plain or not texts or all(map(_looks_like_a_picture, value)):
            for item in value:
                yield from _pictures(item, plain)
    elif isinstance(value, dict):
        named = [
            name
            for key, item in value.items()
            if _PLACE.fullmatch(key) or _says_picture(key) or isinstance(item, dict | list)
            for name in _pictures(item, plain=False)
        ]
        holds = isinstance(value.get("bytes"), str | list) and value["bytes"]
        yield from named or (["bytes"] if holds else [])


def _looks_like_a_picture(text: str) -> bool:
    if "://" in text:  # where it came from
        return False
    return bool(_ENCODED.match(text)) or (len(text) <= LONGEST_PATH and bool(_FILE.fullmatch(text)))


@lru_cache
def _letters(key: str) -> str:
    return "".join(filter(str.isalnum, key.casefold()))


@lru_cache
def _is_of_another(key: str) -> bool:
    """Return whether a name says that its picture is not the question's: ``solution_image``."""
    return key == "source" or any(_OTHER_WORD.fullmatch(word.casefold()) for word in _WORD.findall(key))


@lru_cache
def _says_picture(key: str) -> bool:
    """Return whether a name says that a picture is here, and nothing else: ``image_path``, ``Images``."""
    words = [word.casefold() for word in _WORD.findall(key)]
    rest = [word for word in words if not _PICTURE_WORD.fullmatch(word)]
    return len(rest) < len(words) and all(map(_FORM_WORD.fullmatch, rest))
