"""The project's own row format: one question with its pictures per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from observer.data.fields import string, strings
from observer.data.formats.jsonlines import JsonLines
from observer.data.misnamed import instead
from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError, Turn


@dataclass(frozen=True)
class Jsonl(JsonLines):
    """Our own JSONL: a question, its pictures, its gold answer and its place on the ladder.

    A row is ``{"question": "<image>What is the area?", "images": ["a.png"], "answer": "7"}`` with, if wanted:
    ``id`` (default: file name and line), ``system`` (a system prompt), ``options`` (the texts of a choice, A
    first), ``kind`` (how the answer is checked; default: inferred from the answer), ``difficulty`` in [0, 1]
    (default 0.5), ``complexity`` in tokens (default 0), ``level`` (default: round(8 difficulty)) and
    ``metadata``, of which schedules read ``source``. Other fields join the metadata, unless they look like
    one of these, or like a picture, under another name: those are refused. Each ``<image>`` of the
    question stands for one picture; with no mark at all the pictures come first.

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
        Level 6 is round(8 * 0.75).

        >>> row = {"question": "How many?", "images": ["a.png", "b.png"], "answer": 7, "difficulty": 0.75}
        >>> problem = Jsonl("train.jsonl").problem(row)
        >>> problem.question, problem.answer, problem.level
        ('<image><image>How many?', '7', 6)
    """

    own_fields: ClassVar[frozenset[str]] = frozenset({"question", "images", "system"})
    pictures_in: ClassVar[str] = "`images`"

    def chat(self, record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return the system turn, if any, and the question with its pictures.

        Raises:
            RefusedError: the question is missing or empty, or its marks do not match its pictures.
        """
        question, system = string(record, "question"), string(record, "system")
        if not question.replace(IMAGE_MARK, "").strip():
            raise RefusedError(
                f"question is {shown(question)}; write what is asked{instead(record, 'question')}"
            )
        if IMAGE_MARK in system:
            raise RefusedError(
                f"system holds {IMAGE_MARK}: {shown(system)}; put the pictures into the question"
            )
        images = strings(record, "images")
        marks = question.count(IMAGE_MARK)
        if images and not marks:
            question = IMAGE_MARK * len(images) + question
        elif marks != len(images):
            raise RefusedError(
                f"question has {marks} {IMAGE_MARK} marks and images names {len(images)}; "
                f"write one mark a picture, or none: {shown(question)}"
            )
        turns = (Turn("system", system),) if system else ()
        return (*turns, Turn("user", question)), images
