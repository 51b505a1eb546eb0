"""Rows that a build doubts are listed with their reasons, and a decision brings them back or mends them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import laddered
from laddered import Silent, files, lines, measure, recipe
from observer.cli import main
from observer.ladder import Duplicates, NoPicture, Review, Sample, SimpleQuestions, Sort, Verifiable, build
from observer.ladder.output.review import ladder_page
from observer.pages.decisions import FORMAT, Decision
from observer.rollout.scripted import ScriptedEngine
from observer.types import RefusedError
from runs import RIGHT

pytestmark = pytest.mark.whole

PROSE = "all of the figures that are to the left of the one which is shaded, and none of the others"
THREE = RIGHT.format(answer="3")
GOLDS = {2: PROSE, 4: "many", 6: "x^{2"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Rows 2, 4 and 6 cannot be verified, row 5 contradicts row 1, row 3 is solved without its picture."""
    form = laddered.rows(
        tmp_path_factory.mktemp("rows"),
        9,
        answer=lambda row: GOLDS.get(row, str(row)),
        kind=lambda row: {4: "integer", 6: "expression"}.get(row, "integer"),
        question=lambda row: f"How many in {1 if row == 5 else row}?",
        images=lambda row: [f"{1 if row == 5 else row}.png"],
    )
    written = lines(Path(form.path))
    del written[2]["kind"]
    Path(form.path).write_text("".join(json.dumps(row) + "\n" for row in written))
    return replace(form, on_bad_row="skip")


def doubting(source, *last, decisions=None):
    script = ScriptedEngine([THREE, THREE, THREE, RIGHT])
    blind = NoPicture(responses=4, max_tokens=64, response_format=laddered.PLAIN)
    steps = (Verifiable(), Duplicates(), measure(), blind, Review(decisions=decisions), Sort(), *last)
    return recipe(source, *steps, model=replace(laddered.MODEL, engine=script, max_prompt_tokens=200))


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    build(doubting(source), folder, shown=Silent())
    return folder


@pytest.fixture
def decide(tmp_path):
    def write(**golds):
        choices = [
            {"id": name, "choice": gold}
            if gold in ("keep", "drop")
            else {"id": name, "choice": "correct", "gold": gold}
            for name, gold in golds.items()
        ]
        path = tmp_path / "decisions.json"
        path.write_text(json.dumps({"format": FORMAT, "decisions": choices}))
        return str(path)

    return write


def reasons(folder):
    return {line["id"]: line["reason"] for line in lines(folder / "removed.jsonl")}


def test_doubted_rows_are_listed_with_their_reasons(built, capsys):
    gone = reasons(built)
    assert gone.keys() == {"r2", "r3", "r4", "r6"}
    assert gone["r4"].startswith("no rule can check the answer 'many': the gold answer 'many' is no ")
    assert gone["r3"].startswith("4 of 4 responses are right without the picture: at least 0.51")
    listed = [(line["id"], line["step"]) for line in lines(built / "review.jsonl")]
    assert listed[:5] == [
        *(("r2", "Verifiable"), ("r4", "Verifiable"), ("r6", "Verifiable")),
        *(("r5", "Duplicates"), ("r3", "NoPicture")),
    ]
    assert main(["ladder", "review", "--output", str(built), "--page", str(built / "page.html")]) == 0
    capsys.readouterr()
    page = (built / "page.html").read_text()
    (built / "page.html").unlink()
    found = re.findall(r'<article data-reason="(.*?)" data-kind="(.*?)"', page)
    assert found[:4] == [
        ("unverifiable", "none"),
        ("unverifiable", "integer"),
        ("unverifiable", "expression"),
        ("two gold answers and rarely or never right", "integer"),
    ]
    assert ("solved without its picture", "integer") in found
    assert "correct the gold answer to bring the row back" in page
    assert "shows and asks the same as row &#39;r1&#39;, and answers another" in page


def test_a_corrected_gold_answer_brings_a_row_back_and_nothing_is_measured_again(
    source, built, decide, tmp_path
):
    """Also what is built anew with the decisions is the same ladder."""
    decisions = decide(r2="3", r3="keep", r4="drop", r6="keep", r5="1")
    build(doubting(source), tmp_path / "then", shown=Silent())
    for name in ("ladder.trl.parquet", "control.verl.parquet", "review.html"):
        (tmp_path / "then" / name).write_text("of the ladder before")
    shown = Silent()
    build(doubting(source, decisions=decisions), tmp_path / "then", shown=shown)
    assert "Measure: 2 of 3 chunks are finished already" in shown.lines
    old = [line.partition(" ")[0] for line in shown.lines if "was made from what was here before" in line]
    assert sorted(old) == ["control.verl.parquet", "ladder.trl.parquet", "review.html"]
    build(doubting(source, decisions=decisions), tmp_path / "then", shown=(shown := Silent()))
    assert not [line for line in shown.lines if "before" in line], "made since, for all it knows"
    for name in old:
        (tmp_path / "then" / name).unlink()
    counted = pq.read_table(tmp_path / "then" / "ladder.parquet", columns=["id", "no_picture_correct"])
    assert {row["id"]: row["no_picture_correct"] for row in counted.to_pylist()}["r2"] is None
    rows = {row["id"]: row for row in lines(tmp_path / "then" / "ladder.jsonl")}
    assert rows.keys() == {"r0", "r1", "r2", "r3", "r7", "r8"}, "r5 is a copy of r1 now"
    assert (rows["r2"]["answer"], rows["r2"]["kind"], rows["r2"]["difficulty"]) == ("3", "integer", 0.25)
    assert reasons(tmp_path / "then")["r5"] == "shows, asks and answers the same as row 'r1'"
    assert reasons(tmp_path / "then").keys() == {"r4", "r5", "r6"}
    assert not {"r2", "r3", "r4", "r5", "r6"} & {line["id"] for line in lines(tmp_path / "then/review.jsonl")}
    build(doubting(source, decisions=decisions), tmp_path / "anew", shown=Silent())
    assert files(tmp_path / "anew") == files(tmp_path / "then")
    build(doubting(source), tmp_path / "then", shown=Silent())
    assert files(tmp_path / "then") == files(built), "without the decisions it is as it was"


def test_a_row_whose_answer_was_corrected_was_not_solved_without_reasoning(tmp_path):
    source = laddered.rows(tmp_path, 3)
    counts = {"simple_correct": [8, 8, 0], "simple_responses": [8] * 3, "simple_chance": [0.1] * 3}
    table = laddered.table(tmp_path, source, **counts)
    table.decided = {1: Decision("correct", "5"), 2: Decision("keep")}
    chosen = SimpleQuestions().select(table)
    assert chosen.rows_N.tolist() == [1, 2], "its count was of the answer that was there before"
    table.apply(chosen)
    table.apply(replace(chosen, corrected={1: {"correct": 3}}))  # as Review judges it again
    assert np.isnan(table.numbers("simple_correct")).tolist() == [True, False]
    assert table.record(1, ["simple_correct", "correct"]) == {"simple_correct": None, "correct": 3}


def test_a_page_holds_rows_with_separators_of_lines_in_their_texts(tmp_path):
    asked = "What\u2028now?"
    line = {"id": "a", "row": 4, "step": "Review", "question": asked}
    line["message"] = json.dumps([{"role": "user", "content": asked}])
    line |= {"answer": "3", "kind": "integer", "measured": {}, "samples": []}
    written = [
        line | {"why": "first"},
        line | {"row": 5, "id": "b", "why": "other"},
        line | {"why": "second"},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"input": {"rows": 9, "digest": "d"}}))
    (tmp_path / "review.jsonl").write_text(
        "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in written), encoding="utf-8"
    )
    page = "".join(ladder_page(tmp_path))
    assert "2 of 9 rows" in page
    assert page.index("first; second") < page.index("other")


def test_the_control_has_the_difficulty_of_the_corrected_gold_answer(source, decide, tmp_path):
    decisions = decide(r7="3", r2="3")
    build(doubting(source, decisions=decisions), tmp_path / "all", shown=Silent())
    for folder, last in (("all", ()), ("sampled", (Sample(size=4),))):
        build(doubting(source, *last, decisions=decisions), tmp_path / folder, shown=Silent())
        control = {row["id"]: row for row in lines(tmp_path / folder / "control.jsonl")}
        for name in {"r2", "r7"} & control.keys():
            assert (control[name]["answer"], control[name]["difficulty"]) == ("3", 0.25)
            assert control[name]["level"] == 2
        for row in lines(tmp_path / folder / "ladder.jsonl"):
            if row["id"] in control:
                assert row["difficulty"] == control[row["id"]]["difficulty"]
    assert {"r2", "r7"} & control.keys(), "of the second one"


def test_an_answer_of_no_kind_can_be_read_by_a_build_alone(source, decide, tmp_path):
    assert len(source.read()) == 6
    assert [row.reason[:40] for row in source.read().skipped]
    assert len(source.read_any_gold()) == 9
    assert source.read_any_gold()[2].kind == ""
    with pytest.raises(RefusedError, match=r"row 'r2'.*no rule can check"):
        Review(decisions=decide(r2=PROSE)).decided(source.read_any_gold())
