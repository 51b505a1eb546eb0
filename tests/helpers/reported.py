"""Reports of grids without what depends on the clock: the rest is the same, byte for byte."""

import csv
import io


def timeless(folder):
    """Return name of a file of a report -> its content without seconds; figures of seconds are left out."""
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "curves_seconds.png"}
    for name, content in kept.items():
        if name.endswith(".csv"):
            kept[name] = without_seconds(content)
        elif name.endswith(".md"):
            kept[name], mark, _ = content.partition(b"\n## Seconds\n")
            assert mark
    return kept


def without_seconds(content):
    """Return the cells of a CSV file but those of columns that begin with ``seconds``, the last ones."""
    table = [*csv.reader(io.StringIO(content.decode()))]
    kept = [place for place, name in enumerate(table[0]) if not name.startswith("seconds")]
    assert kept == [*range(len(kept))]
    return [[row[place] for place in kept] for row in table]
