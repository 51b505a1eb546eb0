"""Rows with completions to score, and what comes out."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]

QUICK = ["--config", "configs/quickstart.yaml"]

REFERENCE = ["--config", "configs/reference.yaml"]


def response(answer):
    return f"<observe>a dial</observe>\n<think>it shows {answer}</think>\n<answer>{answer}</answer>"


def row(*answers, gold="7", **fields):
    """A row whose completions keep the format, 10 tokens each."""
    usual = {"question": "What?", "answer": gold, "images": [], "lengths": [10] * len(answers)}
    return usual | {"completions": [response(answer) for answer in answers]} | fields


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
