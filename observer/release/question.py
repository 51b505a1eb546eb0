"""One question to one model: the problem that it is, and the response block by block for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from observer.data.answers import answer_kind
from observer.data.images import file_picture
from observer.refusal import printable, shown
from observer.rewards import ResponseFormat
from observer.types import IMAGE_MARK, Completion, Picture, Problem, RefusedError, Score, Turn

LONGEST_LINE = 100_000
"""Characters of a line of a response that are printed."""


def problem_of(
    question: str,
    images: Sequence[str] = (),
    gold: str | None = None,
    kind: str | None = None,
    options: Sequence[str] = (),
) -> Problem:
    """Return a question as a problem.

    Args:
        question: may hold an ``<image>`` mark for each picture; without any, pictures come first.
        images: paths of local pictures, anywhere.
        gold: the right answer; None if it is not known.
        kind: how the answer is checked; None to infer it.
        options: the texts of a choice's options, A first.

    Raises:
        RefusedError: a picture is no local picture, marks and pictures differ in number, or no rule can
            check the gold answer.
    """
    if not question.strip():
        raise RefusedError("--question is empty; write what is asked")
    marks = question.count(IMAGE_MARK)
    if marks not in (0, len(images)):
        raise RefusedError(
            f"--question holds {marks} {IMAGE_MARK} marks for {len(images)} pictures (--image); make "
            f"them equal"
        )
    if gold is None and kind is not None:
        raise RefusedError(f"--kind is {kind!r} without a --gold; give the right answer too, or leave it out")
    pictures = tuple(map(_picture, images))
    text = question if marks else IMAGE_MARK * len(images) + question
    told = () if gold is None else (gold,)
    fields = {} if kind is None else {"kind": kind}
    found = next((answer_kind(fields, one, tuple(options)) for one in told), "text")
    return Problem("question", 0, (Turn("user", text),), gold or "", found, pictures, tuple(options))


def _picture(name: str) -> Picture:
    path = Path(name).expanduser()
    # A person names each file, so that its own folder is the data folder.
    picture = file_picture(
        name if re.match(r"[a-z]+:", name, re.IGNORECASE) else str(path.absolute()), path.resolve().parent
    )
    picture.size()  # refuses what is no picture
    return picture


def spoken(
    problem: Problem, completion: Completion, score: Score, form: ResponseFormat, max_tokens: int
) -> Iterator[str]:
    """Yield the lines of an answered question: observe, think, answer, and the verdict where there is a gold.

    Args:
        problem: that was asked.
        completion: the response.
        score: of it.
        form: reads it.
        max_tokens: that it was allowed.
    """
    reading = form.read(completion.text)
    blocks = dict(reading.blocks) or {"response": completion.text}
    if not reading.blocks and reading.answer not in (None, completion.text.strip()):
        blocks["answer"] = reading.answer or ""
    for name, text in blocks.items():
        yield f"{name}:"
        yield from (f"  {printable(line, LONGEST_LINE)}" for line in text.strip().splitlines())
    if not completion.finished:
        yield f"cut off at --max_tokens {max_tokens}; raise it"
    if not reading.formatted:
        yield f"format: not kept, {printable(reading.fault)}"
    if problem.answer:
        gold, why = shown(problem.answer), printable(score.reason)
        yield f"verdict: {score.verdict}, the gold answer is {gold}{f' ({why})' if why else ''}"
