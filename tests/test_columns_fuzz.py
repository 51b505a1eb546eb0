"""Rows of every published schema with anything in any place: good or named as bad, never lost."""

import copy
import json
import random
from functools import partial

import pytest

from observer.data import Columns, Jsonl, LadderDataModule, Message
from observer.data.columns.mapping import preset
from observer.data.options import LadderOptions
from observer.doctor import Examination
from observer.doctor.findings import listing
from observer.rollout import PromptRenderer
from observer.verifier import Limits, Verifier
from published import BENCHMARKS, SCHEMAS, in_folder, pictures, png, written_as

OTHERS = [
    None,
    "",
    " ",
    "x" * 5000,
    7,
    -1.5,
    True,
    [],
    {},
    ["a", 7],
    {"bytes": None},
    "<image>",
    "\\boxed{",
    "NaN",
]
OTHERS += [
    "<image1>",
    "(A) x (B) y",
    "../../etc/passwd",
    "https://example.org/a.png",
    "\x1b[2J\0",
    10**400,
    [[[[]]]],
]
OTHERS += [[{"role": "user"}], [{"role": "assistant", "content": "x"}], "[{", {"type": "image"}, "A" * 300]


def jsonl(n):
    row = {"id": str(n), "system": "Be brief.", "question": f"<image>What is {n} + 1?", "answer": n + 1}
    row |= {"images": [f"{n % 3}.png"], "options": ["x", str(n + 1)], "kind": "choice", "difficulty": 0.5}
    return row | {"complexity": 7.5, "level": 3, "metadata": {"source": "sums"}}


def message(n):
    content = [
        {"type": "image", "image": f"file://FOLDER/{n % 3}.png"},
        {"type": "text", "text": f"{n} + 1?"},
    ]
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    return {"id": str(n), "message": json.dumps(turns) if n % 2 else turns, "answer": f"${n + 1}$"}


OURS = {"jsonl": (jsonl, Jsonl), "message": (message, Message)}
"""Our own formats: a row by its number, and the format."""
WITH_IDS = ("mm_eureka", "math_vision", *BENCHMARKS, *OURS)
"""Formats whose rows have ids: a mutated row may take that of a good one, which is then refused."""


def places(value, path=()):
    """Every place in a nest."""
    if path:
        yield path
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def mutated(record, random):
    """A record with another value, without one, or with one more, in one or two places."""
    record = json.loads(json.dumps(record))
    for _ in range(random.choice([1, 1, 2])):
        path = random.choice(list(places(record)))
        inner = record
        for key in path[:-1]:
            inner = inner[key]
        change = random.random()
        if change < 0.2:
            del inner[path[-1]]
        elif change < 0.3 and isinstance(inner, dict):
            added = random.choice(["image", "Answer", "choices", "options", "level", "id", "metadata"])
            inner[added] = copy.deepcopy(inner[path[-1]])
        elif change < 0.5 and isinstance(inner[path[-1]], str):
            text = inner[path[-1]]
            cut = random.randrange(len(text) + 1)
            inner[path[-1]] = (
                text[:cut] + random.choice(["<image>", "(A)", "}", "\u2028", ""]) + text[cut + 1 :]
            )
        else:
            inner[path[-1]] = copy.deepcopy(random.choice(OTHERS))
        if not record:
            break
    return record


def mutated_rows(folder, name, count, seed):
    """A format of rows of which all but every fourth are mutated."""
    pictures(folder)
    for n in range(3):  # such as a JSONL export names them
        (folder / f"images_{n}.png").write_bytes(png(n))
    dice = random.Random(f"{name} {seed}")

    def plain(n):
        record = (OURS | SCHEMAS)[name][0](n)
        text = json.dumps(record, default=lambda content: None)  # bytes: only JSON holds what has no type
        return json.loads(text.replace(f"images_{n}.png", f"images_{n % 3}.png"))

    records = [in_folder(plain(n), folder) for n in range(count)]
    changed = [record if n % 4 == 0 else mutated(record, dice) for n, record in enumerate(records)]
    path = written_as(folder, name.replace("scemqa", "own"), changed, "jsonl")
    make = OURS[name][1] if name in OURS else partial(Columns, preset=name)
    return make(path, on_bad_row="skip", keep_checked=False)


def faults(folder, name, count, seed=0):
    """What is wrong with how mutated rows are read."""
    rows = mutated_rows(folder, name, count, seed).read()
    lines = [int(problem.source.rpartition(":")[2]) for problem in rows]
    left_out = [skipped.line for skipped in rows.skipped]
    found = []
    if sorted(lines + left_out) != list(range(1, count + 1)):
        found.append("rows are lost, or twice there")
    spoilt = {1 + n for n in range(0, count, 4)} - set(lines)
    if spoilt and name not in WITH_IDS:  # a mutated row may have taken an id of theirs
        found.append(f"good rows are left out: {spoilt}")
    if not 0 < len(left_out) < count or not all(skipped.reason for skipped in rows.skipped):
        found.append("no bad row is named")
    for problem in rows:
        marks = sum(turn.text.count("<image>") for turn in problem.turns)
        if marks != len(problem.pictures) or not problem.question.replace("<image>", "").strip():
            found.append(f"{problem.source}: {problem.turns} with {len(problem.pictures)} pictures")
        if name not in OURS and preset(name).pictures_needed and not problem.pictures:
            found.append(f"{problem.source}: has lost its picture")
    return found


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.whole] * (name in BENCHMARKS)) for name in (*SCHEMAS, *OURS)],
)
def test_two_hundred_mutated_rows_are_good_or_named(tmp_path, name):
    assert faults(tmp_path, name, 200) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*SCHEMAS, *OURS])
def test_ten_thousand_mutated_rows_are_good_or_named(tmp_path, name):
    assert faults(tmp_path, name, 13_334, seed=1) == []  # every fourth of which is as published


@pytest.mark.whole
def test_what_a_doctor_leaves_out_of_mutated_rows_is_what_a_fit_leaves_out(tmp_path, processor):
    renderer, verifier = PromptRenderer(processor, "", max_tokens=90), Verifier(Limits(workers=1))
    left_out = {}
    for name in [*SCHEMAS, *OURS]:
        (folder := tmp_path / name).mkdir()
        train = mutated_rows(folder, name, 60, seed=2)
        module = LadderDataModule(train=train, prompts_per_step=1)
        module.setup("fit")
        module.admit(renderer, verifier, folder)
        skipped = sorted((row.line, row.id, row.reason) for row in module.rows["train"].skipped)
        with listing(folder / "findings.jsonl") as findings:
            data = LadderOptions(train=train, prompts_per_step=1)
            Examination(data, renderer, verifier, findings).run()
        found = [json.loads(line) for line in (folder / "findings.jsonl").read_text().splitlines()]
        bad = [(one["line"], one["id"], one["what"]) for one in found if one["fate"] != "noted"]
        assert sorted(bad) == skipped
        left_out[name] = len(bad)
    verifier.close()
    assert min(left_out.values()) > 8
