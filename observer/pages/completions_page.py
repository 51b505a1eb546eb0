"""Draws one group on a page: the problem on the left, its completions with their scores on the right.

Drawn with Pillow and matplotlib's fonts; no state outlives a page. Callers choose the groups and write the
pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from observer.pages.marked_text import (
    FAINT,
    INK,
    VERDICT_COLOURS,
    Colour,
    colours,
    lines,
    printable,
    shorten,
)
from observer.pages.pictures import fitting
from observer.types import Completion, Group, Score

LEFT, RIGHT, PAD = 320, 800, 16
"""Widths of the two columns of text and of the space around them, in pixels."""
MOST_PICTURES = 6
TEXT_BUDGET, QUESTION_BUDGET, NOTE_BUDGET = 1200, 600, 160
"""Characters shown of a response, of a question, of anything else."""
LINE = 17
"""Pixels from one line to the next."""
PAPER: Colour = (255, 255, 255)
SHADE: Colour = (243, 245, 248)
WARNING: Colour = (188, 76, 0)

Run = tuple[str, str, Colour]
"""Text, font and colour."""
SANS, BOLD, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"


def draw_group(
    group: Group,
    scores: Sequence[Score],
    advantages_G: Sequence[float],
    weights_G: Sequence[float],
    most: int = 4,
) -> Image.Image:
    """Draw a group with its scores, advantages and weights.

    Args:
        group: the problem, and G completions.
        scores: the G scores of the completions.
        advantages_G: as they enter the update.
        weights_G: of the completions; the smallest and the largest are shown where they differ.
        most: completions that are shown: the best, the worst, and others in between by advantage.

    Returns:
        An RGB picture, 1184 pixels wide and as high as it needs to be.
    """
    left, right = _Column(LEFT), _Column(RIGHT)
    pass_rate = sum(score.correct for score in scores) / len(scores)
    _problem(left, group, pass_rate, weights_G)
    shown = spread(advantages_G, most)
    number = f"{len(shown)} of {len(scores)}" if len(shown) < len(scores) else f"{len(scores)}"
    right.flow([[(f"{number} completions, best advantage first", SANS, FAINT)]])
    for place in shown:
        _completion(right, group.completions[place], scores[place], advantages_G[place])
    page = Image.new("RGB", (LEFT + RIGHT + 4 * PAD, max(left.bottom, right.bottom) + PAD), PAPER)
    ImageDraw.Draw(page).rectangle((0, 0, LEFT + 2 * PAD - 1, page.height), fill=SHADE)
    left.draw(page, PAD)
    right.draw(page, LEFT + 3 * PAD)
    return page


def spread(advantages_G: Sequence[float], most: int) -> list[int]:
    """Return the places of the best, the worst and others evenly in between, best first.

    Args:
        advantages_G: those of a group.
        most: how many places, at least 1.

    >>> spread([0.5, -1.0, 2.0, 0.0, 1.0], 3)
    [2, 0, 1]
    """
    order = sorted(range(len(advantages_G)), key=lambda place: -advantages_G[place])
    if len(order) <= most:
        return order
    gaps = max(1, most - 1)
    return [order[round(step * (len(order) - 1) / gaps)] for step in range(most)]


def _problem(column: _Column, group: Group, pass_rate: float, weights_G: Sequence[float]) -> None:
    problem = group.problem
    pictures = problem.pictures[:MOST_PICTURES]
    side = LEFT if len(pictures) == 1 else (LEFT - PAD) // 2
    column.pictures([fitting(picture, side) for picture in pictures], side)
    if more := len(problem.pictures) - len(pictures):
        column.flow([[(f"and {more} more pictures", SANS, WARNING)]])
    column.heading("question")
    question = problem.question if len(problem.pictures) > 1 else problem.question.replace("<image>", "", 1)
    column.text(shorten(question.strip(), QUESTION_BUDGET))
    column.heading("gold answer")
    column.text(shorten(problem.answer, NOTE_BUDGET))
    column.heading("row")
    column.text(shorten(problem.id, NOTE_BUDGET))
    column.gap(8)
    ends = dict.fromkeys(f"{end(weights_G):.3g}" for end in (min, max))
    facts = {
        "step": f"{group.sampling.step}",
        "level": f"{problem.level}",
        "pass rate": f"{pass_rate:.3g}",
        "weight": " to ".join(ends),
    }
    column.flow([_named(name, value) for name, value in facts.items()])


def _completion(column: _Column, completion: Completion, score: Score, advantage: float) -> None:
    column.gap(12)
    top = column.bottom
    column.flow(
        [
            [(f" {score.verdict} ", BOLD, PAPER)],
            [("advantage ", SANS, FAINT), (f"{advantage:+.3f}", BOLD, INK)],
            _named("reward", f"{score.reward:.4g}"),
            _named("bonus", f"{score.bonus:.4g}"),
            _named("tokens", f"{len(completion.ids)}"),
            [
                ("ended by ", SANS, FAINT),
                (completion.finish_reason, SANS, INK if completion.finished else WARNING),
            ],
            _named("completion", f"{completion.index}"),
        ],
        indent=PAD,
        label=VERDICT_COLOURS[score.verdict],
    )
    components = [
        _named(name, "\N{EN DASH}" if value is None else f"{value:.4g}")
        for name, value in score.components.items()
    ]
    column.flow([[("components:", SANS, FAINT)], *components], indent=PAD)
    found = (
        "no answer found"
        if score.extracted is None
        else f"answer found: {shorten(score.extracted, NOTE_BUDGET)}"
    )
    note = " · ".join(filter(None, (found, shorten(score.reason, NOTE_BUDGET))))
    column.text(note, indent=PAD, colour=FAINT)
    column.gap(4)
    if completion.text.strip():
        column.text(shorten(completion.text, TEXT_BUDGET), indent=PAD)
    else:
        column.text("(nothing but blanks)" if completion.text else "(no text)", indent=PAD, colour=FAINT)
    column.bar(top, VERDICT_COLOURS[score.verdict])


def _named(name: str, value: str) -> list[Run]:
    return [(f"{name} ", SANS, FAINT), (value, SANS, INK)]


class _Column:
    """A column that is filled from top to bottom and drawn once its height is known."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.bottom = PAD
        self._marks: list[Callable[[Image.Image, ImageDraw.ImageDraw, int], None]] = []

    def draw(self, page: Image.Image, left: int) -> None:
        """Put everything on a page, ``left`` pixels from its edge."""
        pen = ImageDraw.Draw(page)
        for mark in self._marks:
            mark(page, pen, left)

    def gap(self, pixels: int) -> None:
        self.bottom += pixels

    def heading(self, name: str) -> None:
        self.gap(8)
        self.flow([[(name, SANS, FAINT)]])

    def flow(self, items: Sequence[Sequence[Run]], indent: int = 0, label: Colour | None = None) -> None:
        """Set items side by side, on a new line when one is full; the first may be a label on a ground."""
        x = indent
        for number, item in enumerate(items):
            width = sum(int(_font(font).getlength(text)) for text, font, _ in item)
            if x > indent and x + width > self.width:
                x, self.bottom = indent, self.bottom + LINE
            if label is not None and not number:
                self._box((x, self.bottom - 1, x + width, self.bottom + LINE - 2), label)
            for text, font, colour in item:
                self._run(x, text, font, colour)
                x += int(_font(font).getlength(text))
            x += 14
        self.bottom += LINE if items else 0

    def text(self, text: str, indent: int = 0, colour: Colour | None = None) -> None:
        """Set text in fixed-width type, its tags coloured, or all of it in one colour."""
        text = printable(text)
        painted = colours(text) if colour is None else [colour] * len(text)
        width = int(_font(MONO).getlength("0"))
        for line in lines(text, (self.width - indent) // width):
            place = line.start
            for ink, same in groupby(painted[line]):
                end = place + len(list(same))
                self._run(indent + (place - line.start) * width, text[place:end], MONO, ink)
                place = end
            self.bottom += LINE

    def pictures(self, pictures: Sequence[Image.Image | str], side: int) -> None:
        """Set pictures in rows as wide as the column; one that cannot be read is replaced by a text."""
        for text in (picture for picture in pictures if isinstance(picture, str)):
            self.text(text, colour=WARNING)
        readable = [picture for picture in pictures if not isinstance(picture, str)]
        per_row = max(1, self.width // side)
        for first in range(0, len(readable), per_row):
            row = readable[first : first + per_row]
            for number, picture in enumerate(row):
                self._picture(number * (side + PAD), picture)
            self.bottom += max(picture.height for picture in row) + 4

    def bar(self, top: int, colour: Colour) -> None:
        """Draw a bar at the left edge, from ``top`` down to here."""
        self._box((0, top - 1, 5, self.bottom), colour)

    def _run(self, x: int, text: str, font: str, colour: Colour) -> None:
        y = self.bottom
        self._marks.append(lambda _, pen, left: pen.text((left + x, y), text, fill=colour, font=_font(font)))

    def _box(self, box: tuple[int, int, int, int], colour: Colour) -> None:
        x0, y0, x1, y1 = box
        self._marks.append(lambda _, pen, left: pen.rectangle((left + x0, y0, left + x1, y1), fill=colour))

    def _picture(self, x: int, picture: Image.Image) -> None:
        y = self.bottom
        self._marks.append(lambda page, _, left: page.paste(picture, (left + x, y)))


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    # The basic layout is the same everywhere and leaves characters in the order in which they were drawn.
    return ImageFont.truetype(file, 13, layout_engine=ImageFont.Layout.BASIC)
