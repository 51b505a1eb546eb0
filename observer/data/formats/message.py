"""The row format of Observe-R1 and LMM-R1: a whole chat in one field.

Reference: the data of github.com/zrguo/Observe-R1 (arXiv 2505.12432) and of github.com/TideDra/lmm-r1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from observer.data.fields import parse_json
from observer.data.formats.jsonlines import JsonLines
from observer.data.misnamed import instead
from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError, Turn

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message(JsonLines):
    """The ``message`` JSONL of Observe-R1 and LMM-R1: chat turns, as a list or as its JSON text.

    A row is ``{"message": [{"role": "user", "content": [{"type": "image", "image": "file:///data/a.png"},
    {"type": "text", "text": "What is the area?"}]}], "answer": "$7$"}``; a content may be a plain string too.
    The last turn is the user's; a system prompt stays as it is. Beside the message: ``id``, ``options``,
    ``kind``, ``difficulty``, ``complexity``, ``level`` and ``metadata`` as in ``Jsonl``.

    Args:
        path: the JSONL file, one JSON object per line, UTF-8; blank lines are skipped, but counted.
        images: the data folder that all pictures have to lie in; default: the folder of the file.
        on_bad_row: ``refuse`` the file, naming the bad rows, or ``skip`` them, counted and named.
        max_image_pixels: height times width that a picture may claim, 1 .. 178,956,970.
        check_images: ``decode`` every distinct picture once at the start, or read its ``header`` only.
        difficulty_from: a file of estimates, as ``observer curriculum estimates`` writes it. Its difficulties
            (and complexities) replace those of the rows, by id; each of its ids must be a row's.
        keep_checked: cache the checked rows, so that they open in seconds while nothing has changed: no byte
            of the file, no picture, no option, no line of this package.

    Example:
        >>> import json
        >>> content = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]
        >>> message = json.dumps([{"role": "user", "content": content}])
        >>> problem = Message("train.jsonl").problem({"message": message, "answer": "$7$"})
        >>> problem.question, [picture.name for picture in problem.pictures]
        ('<image>How many?', ['a.png'])
    """

    own_fields: ClassVar[frozenset[str]] = frozenset({"message"})
    pictures_in: ClassVar[str] = '`message`, as an item {"type": "image", "image": path}'

    def chat(self, record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return the turns of the message, each picture as a mark in their text, and the pictures' names.

        Raises:
            RefusedError: the message is no chat that ends with a user's turn.
        """
        message = record.get("message")
        if isinstance(message, str):
            try:
                message = parse_json(message)
            except RefusedError as error:
                raise RefusedError(f"message {error}") from error
        if not isinstance(message, list) or not message:
            other = "" if "message" in record else instead(record, "message")
            raise RefusedError(f"message is {shown(message)}; write a list of chat turns{other}")
        images: list[str] = []
        turns = tuple(_turn(item, f"message[{place}]", images) for place, item in enumerate(message))
        if turns[-1].role != "user":
            raise RefusedError(
                f"message ends with the role {shown(turns[-1].role)}; its last turn must be the user's"
            )
        if not turns[-1].text.replace(IMAGE_MARK, "").strip():
            raise RefusedError(
                f"message[{len(turns) - 1}] is empty: {shown(message[-1])}; write what is asked"
            )
        return turns, tuple(images)


def _turn(item: object, where: str, images: list[str]) -> Turn:
    """Make a turn of one chat message; append the names of its pictures."""
    if not isinstance(item, dict) or item.keys() != {"role", "content"}:
        raise RefusedError(
            f"{where} is {shown(item)}; write an object with role and content and nothing else"
        )
    if item["role"] not in ROLES:
        raise RefusedError(f"{where} has the role {shown(item['role'])}; write one of {', '.join(ROLES)}")
    content = item["content"]
    if isinstance(content, str):
        return Turn(item["role"], _typed(content, where))
    if not isinstance(content, list):
        raise RefusedError(f"{where} has the content {shown(content)}; write a string or a list of items")
    texts = [_text(part, f"{where}.content[{place}]", images) for place, part in enumerate(content)]
    return Turn(item["role"], "".join(texts))


def _text(part: object, where: str, images: list[str]) -> str:
    """Return an item's text, or the mark of its picture, whose name is appended."""
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return _typed(text, where)
        case {"type": "image", "image": str(name), **rest} if name and not rest:
            images.append(name)
            return IMAGE_MARK
    raise RefusedError(
        f'{where} is {shown(part)}; write {{"type": "text", "text": ..}} or '
        '{"type": "image", "image": path} and nothing else'
    )


def _typed(text: str, where: str) -> str:
    if IMAGE_MARK in text:
        raise RefusedError(
            f"{where} holds {IMAGE_MARK} as text: {shown(text)}; remove it, pictures are items of type image"
        )
    return text
