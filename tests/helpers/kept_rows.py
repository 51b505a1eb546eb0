"""What tests of kept rows share: rows with all that a row may have, and what of them is compared."""

from written_rows import ROW

ROWS = 24


def row(number):
    one = ROW | {"id": f"r{number}", "answer": number, "difficulty": number % 9 / 8, "complexity": number}
    if number % 3 == 0:
        one |= {"images": ["a.png", "b.png"][: 1 + number % 2], "topic": {"name": "area", "of": [1, None]}}
    if number % 4 == 0:
        one |= {"source": "maps", "system": "Be brief.", "level": 3}
    if number % 5 == 0:
        one |= {"options": ["no", "yes"], "answer": "B"}
    return one


def plain(rows):
    """All of every row, pictures by what they mean."""
    return [
        {**vars(problem), "pictures": [(p.name, p.size(), p.load().tobytes()) for p in problem.pictures]}
        for problem in rows
    ]


def entries(tmp_path, suffix="rows"):
    return list((tmp_path / "cache" / "rows").glob(f"*.{suffix}"))
