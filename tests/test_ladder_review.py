"""The page of the rows that a build lists for review, and what the next build makes of a decision."""

import json
import re
from dataclasses import replace

import laddered
import runs
from laddered import Silent, lines, measure, recipe
from observer.cli import main
from observer.ladder import Review, Sort, Verifiable, build
from observer.pages.decisions import FORMAT
from observer.rollout.scripted import ScriptedEngine


def facts_of(page):
    return json.loads(re.search(r'id="facts">(.*?)</script>', page)[1])


def test_what_is_decided_on_the_page_is_applied_by_the_next_build(tmp_path, capsys):
    source = laddered.rows(tmp_path / "rows", 6)
    script = ScriptedEngine([runs.WRONG, runs.WRONG, runs.WRONG, "nothing of the kind"])
    model = replace(laddered.MODEL, engine=script)
    steps = (Verifiable(), measure(), Review(most=3), Sort())
    folder = tmp_path / "ladder"
    build(recipe(source, *steps, model=model), folder, shown=Silent())
    listed = [line["id"] for line in lines(folder / "review.jsonl")]
    assert main(["ladder", "review", "--output", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "review.html")
    page = (folder / "review.html").read_text(encoding="utf-8")
    facts = facts_of(page)
    assert facts["ids"] == listed
    assert page.count("data:image/png;base64,") == len(listed)
    assert "Review.decisions of the next build" in page
    assert len(listed) == 3
    assert page.count("no response is right, and 75% agree on another answer") == 3
    decision = {"id": listed[0], "choice": "drop"}
    decisions = tmp_path / "decisions.json"
    decisions.write_text(json.dumps({"format": FORMAT, "ladder": facts["ladder"], "decisions": [decision]}))
    steps = (Verifiable(), measure(), Review(most=3, decisions=str(decisions)), Sort())
    build(recipe(source, *steps, model=model), folder, shown=Silent())
    assert listed[0] not in [row["id"] for row in lines(folder / "ladder.jsonl")]
    assert {"id": listed[0], "reason": "was dropped in the review"}.items() <= next(
        line for line in lines(folder / "removed.jsonl") if line["id"] == listed[0]
    ).items()


def test_without_a_ladder_the_command_says_which_folder_it_wants(tmp_path, capsys):
    assert main(["ladder", "review", "--output", str(tmp_path)]) == 2
    assert "holds no ladder" in " ".join(capsys.readouterr().err.split())
    assert main(["ladder", "reviewed"]) == 2
    assert "build, merge, inspect, review, learned" in " ".join(capsys.readouterr().err.split())
