"""Predictions as lmms-eval reads them: samples to compare with, or answers that its own tasks score again.

Reference: lmms-eval 0.7.3, ``baselines/loader.py`` and ``models/simple/from_log.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from observer.refusal import refuse_outside
from observer.types import RefusedError

Form = Literal["jsonl", "lmms-eval", "lmms-eval-log"]
"""How predictions are written."""
REASONING_TAGS = [
    ["<observe>", "</observe>"],
    ["<think>", "</think>"],
    ["<answer>", "<answer>"],
    ["</answer>", "</answer>"],
]
"""What its option ``--reasoning_tags`` needs for the formats ``Observe`` and ``Think``. It deletes from the
first text of a pair to the second: blocks that only lead to the answer, and of the answer the tags alone."""


def refuse_form(form: Form, task: str, samples: int, pictures: bool = False) -> None:
    """Refuse a form whose task is missing, or that cannot hold several samples or names of pictures.

    Args:
        form: how predictions are written.
        task: name of the task of lmms-eval.
        samples: completions per row.
        pictures: whether they are kept.
    """
    if pictures and form != "jsonl":
        raise RefusedError(
            f"--pictures is true and --format is {form}, which names none; leave one of them out"
        )
    if form != "lmms-eval-log":
        if task:
            raise RefusedError(f"--task is {task!r}, which --format {form} does not take; leave it out")
        return
    if not task:
        raise RefusedError("--format lmms-eval-log needs --task: the task of lmms-eval that the rows are of")
    refuse_outside("--samples", samples, 1, 1, hint=": --format lmms-eval-log has one response per document")


def written(lines: Iterable[bytes], form: Form, task: str, samples: int) -> Iterator[bytes]:
    """Yield the parts of the file.

    Args:
        lines: the record of each completion as JSON, in the order of rows and samples.
        form: how they are written.
        task: name of the task of lmms-eval.
        samples: completions per row.
    """
    if form == "jsonl":
        yield from lines
    elif form == "lmms-eval":
        for row, group in enumerate(batched_records(lines, samples)):
            yield _json(sample(row, group)) + b"\n"
    else:
        args = {"model": "observer", "model_args": "", "limit": None}
        yield _json({"args": args, "model_configs": {"task": task}})[:-1] + b', "logs": ['
        for row, [record] in enumerate(batched_records(lines, 1)):
            yield (b",\n" if row else b"\n") + _json({"doc_id": row, "resps": [[record["text"]]]})
        yield b"\n]}\n"


def sample(row: int, group: list[dict[str, object]]) -> dict[str, object]:
    """Return the sample of a row.

    Args:
        row: its number among the documents of the task, from 0.
        group: the records of its completions.
    """
    answers = [record["extracted"] or "" for record in group]
    right = sum(record["verdict"] == "correct" for record in group)
    return {
        "doc_id": row,
        "id": group[0]["id"],
        "input": group[0]["question"],
        "target": group[0]["answer"],
        "resps": [record["text"] for record in group],
        "filtered_resps": answers,
        "token_counts": [{"output_tokens": record["tokens"]} for record in group],
        "score": right / len(group),
    }


def batched_records(lines: Iterable[bytes], samples: int) -> Iterator[list[dict[str, object]]]:
    """Yield the records of each row."""
    left = iter(lines)
    while group := [json.loads(line) for line in islice(left, samples)]:
        yield group


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
