"""Rows that a build doubts are listed with their reasons, and a decision brings them back or mends them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import laddered
from laddered import Silent, files, lines, measure, recipe
from observer.cli import main
from observer.ladder import Duplicates, NoPicture, Review, Sample, Sort, Verifiable, build
from observer.pages.decisions import FORMAT
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
    shown = Silent()
    build(doubting(source, decisions=decisions), tmp_path / "then", shown=shown)
    assert "Measure: 2 of 3 chunks are finished already" in shown.lines
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
