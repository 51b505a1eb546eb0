"""Benchmarks' own rules against the figures that their definitions give, and rows that were trained on."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import laddered
from laddered import MODEL, PLAIN, Silent
from observer.data import Jsonl
from observer.evaluation import Benchmark, Circular, Evaluation, FourWay, Rounded
from observer.evaluation.comparison.page import same_rows
from observer.evaluation.comparison.reading import Evaluated
from observer.evaluation.evaluating import SCORES, evaluate
from observer.evaluation.leaks import find, near_ones_too
from observer.evaluation.scoring.base import NOT_JUDGED, Answered
from observer.evaluation.tables import tables
from observer.types import RefusedError


def answered(row="r", correct=True, **fields):
    default = {"metadata": {}, "kind": "choice", "answer": "A", "options": (), "extracted": "A"}
    return Answered(id=row, correct=correct, **{**default, "cluster": row, **fields})


def wemath(steps, verdicts):
    """The rows of problems: for each the verdicts of its steps and of the whole."""
    keys = [f"{steps}steps_{name}" for name in (*range(1, steps + 1), "multi")]
    return [
        answered(f"{number} {key}", right, metadata={"ID": str(number), "key": key})
        for number, row in enumerate(verdicts)
        for key, right in zip(keys, row, strict=True)
    ]


def test_the_four_ways_are_those_of_the_published_definition():
    verdicts = {steps: list(itertools.product([True, False], repeat=steps + 1)) for steps in (2, 3)}
    found = FourWay().figures(wemath(2, verdicts[2]) + wemath(3, verdicts[3]))
    rows = verdicts[2] + verdicts[3]  # once each: 24 problems
    ik = sum(not multi and not all(steps) for *steps, multi in rows)
    ig = sum(not multi and all(steps) for *steps, multi in rows)
    assert (found["problems"], found["left_out"]) == (24, 0)
    assert (found["IK"][0], found["IG"][0]) == pytest.approx((ik / 24, ig / 24), abs=1e-6)
    for name, mastered in (("strict", all), ("loose", any)):
        cm = sum(multi and mastered(steps) for *steps, multi in rows)
        rm = sum(multi and not mastered(steps) for *steps, multi in rows)
        assert found[f"CM {name}"][0] == pytest.approx(cm / 24, abs=1e-6)
        assert found[f"RM {name}"] == pytest.approx(rm / (rm + cm), abs=1e-6)
        assert found[f"average {name}"][0] == pytest.approx((24 - ig / 2 - rm - ik) / 24, abs=1e-6)


def test_a_problem_with_a_row_too_few_or_too_many_is_left_out_and_counted():
    rows = wemath(2, [(True, True, True)] * 3)
    assert FourWay().figures(rows[1:])["left_out"] == 1
    assert FourWay().figures([*rows, rows[0]])["problems"] == 2
    assert FourWay().figures([answered()]) == {"problems": 0, "left_out": 0}


@pytest.mark.parametrize(
    ("kind", "precision", "gold", "text", "right"),
    [
        ("float", 2.0, "1.45", "about 1.4523 cm", True),
        ("float", 1.0, "1.4", "1.46", False),
        ("float", 1.0, "0.3", "0.30", True),
        ("float", None, "1.4", "1.45", False),
        ("integer", None, "7", "7.9", True),
        ("integer", None, "1200", "1,200 people", True),
        ("integer", None, "7", "none", False),
        ("float", 1.0, "0.5", "1/2", False),
        ("list", None, "[1, 2]", "[1,2]", True),
        ("text", None, "red", None, False),
    ],
)
def test_numbers_are_rounded_as_their_row_says(kind, precision, gold, text, right):
    notes = {"answer_type": kind, "precision": precision}
    assert Rounded().right(answered(metadata=notes, answer=gold, extracted=text)) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [("B", True), ("(b) 4 cm", True), ("4 cm", True), ("4cm", True), ("A", False), ("Z", False)],
)
def test_a_choice_is_its_letter_or_the_nearest_option(text, right):
    row = answered(options=("3 m", "4 cm", "none"), answer="4 cm", extracted=text)
    assert Rounded().right(row) is right
    assert Rounded().said([row])["note"] == NOT_JUDGED


def test_a_question_is_right_that_is_right_in_all_orders():
    options = ("x", "y", "z")
    index = [
        answered(str(n + 1_000_000 * turn), not (n == 1 and turn == 2), options=options)
        for n in range(3)
        for turn in range(3)
    ]
    found = Circular().figures(index)
    assert (found["questions"], found["left_out"]) == (3, 0)
    assert (found["circular"][0], found["vanilla"][0]) == pytest.approx((2 / 3, 1), abs=1e-6)
    assert Circular().figures(index[:-1])["left_out"] == 1


def choices(folder, ids=None):
    """Rows of three options; every third one is right when its options are read in order."""
    asked = "How many in {}?\n(A) 0\n(B) 1\n(C) 2"
    fields = {"question": lambda row: asked.format(row), "options": lambda row: ["0", "1", "2"]}
    fields |= {"answer": lambda row: "ABC"[row % 3]}
    if ids:
        fields["id"] = lambda row: str(ids[row])
    return laddered.rows(folder, 3, **fields)


def test_rows_are_asked_in_all_orders_unless_they_are_there_in_all(tmp_path):
    rows = Circular().asked(choices(tmp_path / "one").read())
    assert len(rows) == 9
    assert [rows[place].answer for place in range(9)] == ["A", "C", "B", "B", "A", "C", "C", "B", "A"]
    assert [rows[place].row for place in range(9)] == list(range(9))
    assert len({rows[place].id for place in range(9)}) == 9
    assert (len(rows.level), rows.source_name(8), list(rows.checked_rows())) == (
        9,
        "rows.jsonl",
        list(range(9)),
    )
    whole = choices(tmp_path / "all", ids=[7, 1_000_007, 2_000_007]).read()
    assert Circular().asked(whole) is whole


def evaluation(benchmark, **options):
    given = {"model": MODEL, "response_format": PLAIN, "responses": 0, "max_tokens": 64, "chunk_rows": 4}
    return Evaluation({"mine": benchmark}, **{**given, **options})


def test_an_own_rule_stands_beside_our_scores(tmp_path):
    source = choices(tmp_path / "rows")
    found = evaluate(evaluation(Benchmark(source, scoring=Circular())), tmp_path / "out", Silent())
    said = json.loads((tmp_path / "out" / SCORES).read_text())["benchmarks"]["mine"]
    assert said["rows"] == 9
    assert said["scoring"]["rule"] == "Circular"
    figures = said["scoring"]["figures"]
    assert (figures["questions"], figures["left_out"], figures["circular"][0]) == (3, 0, 1.0)
    titles = [str(getattr(table, "title", "")) for table in tables(found)]
    assert "mine by its own rule, Circular" in titles


def test_a_page_reads_the_rows_again_as_the_rule_has_asked_them(tmp_path):
    benchmark = Benchmark(choices(tmp_path / "rows"), scoring=Circular())
    evaluate(evaluation(benchmark), tmp_path / "out", Silent())
    record = json.loads((tmp_path / "out" / SCORES).read_text())["benchmarks"]
    evaluated = Evaluated("one", tmp_path / "out", record)
    assert [row.id for row in same_rows(evaluated, "mine", benchmark)] == _asked(tmp_path / "out")
    with pytest.raises(RefusedError, match="the rows of mine are not those"):
        same_rows(evaluated, "mine", replace(benchmark, scoring=None))


def _asked(folder):
    return pq.read_table(folder / "answers" / "mine.parquet")["id"].to_pylist()


def test_rows_that_were_trained_on_are_named_and_scores_are_given_without_them(tmp_path):
    source = laddered.rows(tmp_path / "benchmark", 6)
    train = tmp_path / "train"
    train.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (28, 28, 3), np.uint8)).save(train / "other.png")
    for row in (1, 3):
        Image.open(tmp_path / "benchmark" / f"{row}.png").save(train / f"copy{row}.bmp")
    records = [
        {"id": "a", "question": "How many in 1?", "images": ["copy1.bmp"], "answer": "1"},
        {"id": "b", "question": "Which colour has it?", "images": ["copy3.bmp"], "answer": "red"},
        {"id": "c", "question": "Which letter?", "images": ["other.png"], "answer": "x"},
    ]
    (train / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    formats = (Jsonl(str(train / "rows.jsonl"), keep_checked=False),)
    shown = Silent()
    found = evaluate(evaluation(Benchmark(source), train=formats), tmp_path / "out", shown)
    said = found["benchmarks"]["mine"]
    named = {one["id"]: (one["like"], one["how"]) for one in said["leaks"]["rows"]}
    assert named["r1"] == ("a", "shows and asks the same")
    assert named["r3"] == ("b", "shows the same picture")
    assert said["leaks"]["near_ones_too"] == near_ones_too()
    assert said["without_leaks"]["rows"] == said["rows"] - len(named)
    lines = [str(line) for line in tables(found)]
    assert lines[0].startswith(f"mine: {len(named)} rows are in the training data")
    assert f"mine: {len(named)} of 6 rows are in the training data" in shown.lines[0]
    clean = (laddered.rows(tmp_path / "clean", 2, question=lambda row: f"Say {row}", images=lambda row: []),)
    assert find({"mine": source.read()}, clean) == {"mine": []}
