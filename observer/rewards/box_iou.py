"""The reward of a box: how well it covers the gold box. Orders and scales are named, never guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from observer.refusal import refuse_unless, shown
from observer.rewards.base import Reward
from observer.types import Group, Score

BoxOrder = Literal["xyxy", "xywh", "yxyx"]
BoxScale = Literal["picture", "input", "unit", "thousandths"]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

MAX_LENGTH = 1000
"""Longest answer that is looked at, in characters."""
_NUMBER = r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*"
_PLAIN = re.compile(rf"[\[(]?{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])]?")
_CORNERS = re.compile(
    rf"(?:<\|box_start\|>)?\({_NUMBER},{_NUMBER}\),\s*\({_NUMBER},{_NUMBER}\)(?:<\|box_end\|>)?"
)
_FENCE = re.compile(r"```(?:json)?\s*([^`]*)```")


@dataclass(frozen=True)
class BoxIoU(Reward):
    """r = area(A and B) / area(A or B): intersection over union of the answered box and the row's gold box.

    The answer is four numbers, plain, in brackets or as two corners, or JSON with them under ``bbox_2d``,
    ``bbox`` or ``box``, or a list of one such object. Anything else, several boxes and a box without an
    area get 0. A row without a gold box gets no value.

    Reference: VLM-R1, arXiv 2504.07615 (its raw IoU without a threshold; its inclusive pixel edges are left
    out).

    Assumes that order and scale are those that the policy was asked for. Qwen2.5-VL writes pixels of the
    picture as it sees it (``input``), newer models thousandths (from memory): look at what yours writes.

    Args:
        order: of the answer's numbers: ``xyxy`` (two corners), ``xywh`` (corner, width, height) or ``yxyx``.
        scale: of the answer: ``picture`` (pixels of the picture), ``input`` (pixels of the picture as the
            model sees it), ``unit`` (0 to 1) or ``thousandths`` (0 to 1,000) of the picture's sides.
        weight: the reward of the very same box.
        field: the gold box's name in a row's metadata; null where the row's answer is the box.
        gold_order: of the gold box; null for that of the answer.
        gold_scale: of the gold box; null for that of the answer. Where both are the same, no picture is
            looked at; else the row has one picture.
        patch: side of the model's patches, in pixels, 1 or more; for ``input`` only.

    >>> reward = BoxIoU("xyxy", "unit")
    >>> reward.overlap("[0, 0, 2, 2]", [1, 1, 3, 3]) == 1 / 7, reward.overlap("none", [1, 1, 3, 3])
    (True, 0.0)
    >>> BoxIoU("xywh", "unit", gold_order="yxyx").overlap('{"bbox_2d": [1, 0, 1, 2]}', [0, 1, 2, 3])
    0.5
    """

    order: BoxOrder
    scale: BoxScale
    weight: float = 1.0
    field: str | None = "box"
    gold_order: BoxOrder | None = None
    gold_scale: BoxScale | None = None
    patch: int = 14

    def __post_init__(self) -> None:
        """Refuse orders and scales that do not exist."""
        super().__post_init__()
        for known, name in ((BoxOrder, "order"), (BoxScale, "scale")):
            mend = f"give one of {', '.join(get_args(known))}"
            refuse_unless(getattr(self, name) in get_args(known), self, name, mend)
            gold = f"gold_{name}"
            refuse_unless(
                getattr(self, gold) in (None, *get_args(known)), self, gold, f"give null or {mend[5:]}"
            )
        refuse_unless(self.patch >= 1, self, "patch", "give 1 or more pixels")

    def overlap(
        self, answer: str | None, gold: Sequence[float], sides: tuple[float, float] = (1.0, 1.0)
    ) -> float:
        """Return the intersection over union of an answer and a gold box.

        Args:
            answer: as the response writes it; None for none.
            gold: four numbers in ``gold_order``, with an area.
            sides: what the answer's x and y are multiplied by to be of the gold box's scale.
        """
        numbers = None if answer is None else read_box(answer)
        if numbers is None:
            return 0.0
        left, top, right, bottom = corners(numbers, self.order)
        answered = (left * sides[0], top * sides[1], right * sides[0], bottom * sides[1])
        return iou(answered, corners(gold, self.gold_order or self.order))

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return each completion's overlap, 0 to 1; None where the row has no box."""
        gold = self._gold(group)
        if gold is None:
            return [None] * len(scores)
        sides = self._sides(group)
        return [self.overlap(score.extracted, gold, sides) for score in scores]

    def _gold(self, group: Group) -> Sequence[float] | None:
        value: Any = group.problem.answer if self.field is None else group.problem.metadata.get(self.field)
        if value is None:
            return None
        where = "the answer" if self.field is None else f"metadata {self.field!r}"
        box = read_box(value) if isinstance(value, str) else _four(value)
        if box is None or _area(corners(box, self.gold_order or self.order)) <= 0:
            raise ValueError(
                f"{where} is {shown(value)}; give four numbers that span an area, or correct gold_order"
            )
        return box

    def _sides(self, group: Group) -> tuple[float, float]:
        gold_scale = self.gold_scale or self.scale
        if gold_scale == self.scale:
            return 1.0, 1.0
        (width, height), (gold_width, gold_height) = (
            self._full(group, self.scale),
            self._full(group, gold_scale),
        )
        return gold_width / width, gold_height / height

    def _full(self, group: Group, scale: BoxScale) -> tuple[float, float]:
        """Return the whole picture's width and height on a scale."""
        if scale in ("unit", "thousandths"):
            return (1.0, 1.0) if scale == "unit" else (1000.0, 1000.0)
        pictures: Sequence[Any] = group.problem.pictures if scale == "picture" else group.prompt.pictures
        if len(pictures) != 1:
            raise ValueError(f"{len(pictures)} pictures: a scale of {scale} needs exactly one")
        if scale == "picture":
            height, width = pictures[0].size()
        else:
            _, height, width = (int(patches) * self.patch for patches in pictures[0].grid)
        return float(width), float(height)


def read_box(text: str) -> Box | None:
    """Return the four numbers of the one box in a text, as they stand; None when it is anything else.

    >>> read_box("(1, 2.5, 3, 4)"), read_box("(1,2),(3,4)"), read_box("[1, 2, 3]")
    ((1.0, 2.5, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0), None)
    """
    text = text.strip()
    if len(text) > MAX_LENGTH:
        return None
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1].strip()
    if plain := _PLAIN.fullmatch(text) or _CORNERS.fullmatch(text):
        return _four([float(number) for number in plain.groups()])
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = next((value[name] for name in ("bbox_2d", "bbox", "box") if name in value), None)
    return _four(value)


def _four(value: Any) -> Box | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if not all(isinstance(number, int | float) and abs(number) < 1e9 for number in value):
        return None
    a, b, c, d = (float(number) for number in value)
    return a, b, c, d


def corners(numbers: Sequence[float], order: BoxOrder) -> Box:
    """Return a box as left, top, right, bottom.

    >>> corners((1, 2, 3, 4), "xywh"), corners((1, 2, 3, 4), "yxyx")
    ((1, 2, 4, 6), (2, 1, 4, 3))
    """
    a, b, c, d = numbers
    return {"xyxy": (a, b, c, d), "xywh": (a, b, a + c, b + d), "yxyx": (b, a, d, c)}[order]


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union; 0 where a box has no area.

    >>> iou((0, 0, 2, 2), (0, 1, 2, 2)), iou((0, 0, 2, 2), (2, 2, 0, 0))
    (0.5, 0.0)
    """
    inner = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    if not (_area(a) and _area(b)):
        return 0.0
    both = _area(inner)
    return both / (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
