"""Files of rows, and what they are refused with."""

import json

import pytest

from observer.types import RefusedError

ROW = {"question": "How many?", "answer": "7"}

ESSAY = "a red bicycle that leans against a wall of bricks, and a cat that sleeps on its saddle"


def written(path, *rows):
    """A JSONL file of rows; a string or bytes is a line as it is."""
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
        for row in rows
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def refused(file_format, path, *rows):
    """The message that a file of these rows is refused with."""
    with pytest.raises(RefusedError) as caught:
        file_format(written(path, *rows)).read()
    return str(caught.value)
