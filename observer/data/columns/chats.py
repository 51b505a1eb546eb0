"""Turns another project's question or chat into turns with our marks, and the order of their pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from observer.data.columns.mapping import NUMBER, ColumnMap
from observer.data.columns.paths import empty
from observer.data.fields import parse_json
from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError, Turn

ROLES = ("system", "user", "assistant")


def turns_of(value: object, mapping: ColumnMap, pictures: list[object]) -> list[Turn]:
    """Return the turns of a chat column; pictures that its items hold are appended in their order.

    Args:
        value: a list of turns, or its JSON text.
        mapping: what to do with system turns and a last answer.
        pictures: takes the pictures of items; an item without one stands for the next of the row's.

    Raises:
        RefusedError: it is no chat that ends with a user's turn.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = parse_json(value)
    if isinstance(value, str):  # a prompt-only data set
        return [Turn("user", value)]
    if not isinstance(value, list) or not value:
        raise RefusedError(f"its chat is {shown(value)}; write a list of turns")
    turns = [_turn(item, f"turn {place}", mapping, pictures) for place, item in enumerate(value)]
    if mapping.system_turns == "drop":
        turns = [turn for turn in turns if turn.role != "system"]
    if mapping.answer_turn == "drop" and turns and turns[-1].role == "assistant":
        turns = turns[:-1]
    if not turns or turns[-1].role != "user":
        raise RefusedError(
            f"its chat ends with {shown(value[-1])}; its last turn must be the user's (columns.answer_turn "
            "drop leaves an assistant's answer out)"
        )
    return turns


def _turn(item: object, where: str, mapping: ColumnMap, pictures: list[object]) -> Turn:
    given = {key: part for key, part in item.items() if not empty(part)} if isinstance(item, dict) else {}
    role, content = given.get("role"), given.get("content", "")
    if role not in ROLES:
        raise RefusedError(f"{where} is {shown(item)}; write a role ({', '.join(ROLES)}) and a content")
    if isinstance(content, str):
        return Turn(str(role), content)
    if not isinstance(content, list):
        raise RefusedError(f"{where} has the content {shown(content)}; write a text or a list of items")
    mark = (mapping.marks or IMAGE_MARK).replace(NUMBER, "1")
    return Turn(str(role), "".join(_item(part, where, mark, pictures) for part in content))


def _item(part: object, where: str, mark: str, pictures: list[object]) -> str:
    given = {key: value for key, value in part.items() if not empty(value)} if isinstance(part, dict) else {}
    if given.get("type") == "text" or given.keys() == {"text"}:
        text = given.get("text", "")
        if isinstance(text, str):
            return text
    if given.get("type") in ("image", "image_url"):
        held = [given[key] for key in ("image", "image_url", "bytes", "path", "url") if key in given]
        pictures += held[:1]
        return mark
    raise RefusedError(f"{where} holds the item {shown(part)}; only texts and pictures are read")


def placed(turns: Sequence[Turn], count: int, mapping: ColumnMap) -> tuple[tuple[Turn, ...], list[int]]:
    """Return turns with our marks, and the number of the picture that each mark stands for.

    Args:
        turns: with the marks of ``mapping.marks``.
        count: pictures of the row, P.
        mapping: what marks are, and what happens to those that do not match.

    Raises:
        RefusedError: there are marks, and not one per picture.
    """
    mark = mapping.marks or IMAGE_MARK
    numbered, pattern = NUMBER in mark, _pattern(mark)
    found = [match[1] for turn in turns for match in pattern.finditer(turn.text)]
    order = [int(number) - 1 for number in found] if numbered else list(range(len(found)))
    if found and sorted(order) == list(range(count)):
        if not all(IMAGE_MARK not in pattern.sub("", turn.text) for turn in turns):
            raise RefusedError(f"its text holds {IMAGE_MARK} beside its marks {shown(mark)}; remove it")
        return tuple(replace(turn, text=pattern.sub(IMAGE_MARK, turn.text)) for turn in turns), order
    if found and mapping.unplaced != "words":
        raise RefusedError(
            f"its text has {len(found)} marks {shown(mark)} and the row {count} pictures; write one mark a "
            "picture, or none"
        )
    if any(IMAGE_MARK in turn.text for turn in turns):
        raise RefusedError(f"its text holds {IMAGE_MARK}, and columns.marks is {shown(mark)}; set it to that")
    asking = next(place for place, turn in enumerate(turns) if turn.role == "user")
    first = [replace(turns[asking], text=IMAGE_MARK * count + turns[asking].text)]
    return (*turns[:asking], *first, *turns[asking + 1 :]), list(range(count))


def marked(texts: Sequence[str], mapping: ColumnMap) -> bool:
    """Return whether a text holds a numbered mark of a picture."""
    pattern = _pattern(mapping.marks or IMAGE_MARK)
    return NUMBER in (mapping.marks or "") and any(pattern.search(text) for text in texts)


def _pattern(mark: str) -> re.Pattern[str]:
    before, numbered, behind = mark.partition(NUMBER)
    return re.compile(re.escape(before) + (r"(\d{1,4})" if numbered else "()") + re.escape(behind))


def cut(text: str, pieces: Sequence[str], mark: str = IMAGE_MARK) -> str:
    r"""Return a question without what stands before and after it; marks in front stay.

    >>> cut("<image>\nHint: Be brief.\nHow many? Think first.", ["Hint: Be brief.", "Think first."])
    '<image>\nHow many?'
    """
    start = re.match(rf"(?:{re.escape(mark)}|\s)*", text)
    assert start is not None
    marks, rest = text[: start.end()], text[start.end() :]
    again = True
    while again:
        again = False
        for piece in pieces:
            bare = rest.strip()
            if bare.startswith(piece):
                rest, again = bare[len(piece) :].lstrip(), True
            elif bare.endswith(piece):
                rest, again = bare[: -len(piece)].rstrip(), True
    return marks + rest
