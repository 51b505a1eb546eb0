"""Scoring from Python, without the command line."""

import pytest

from observer.objective import GroupMeanStd, Quadratic
from observer.rewards import Accuracy, Format, Observe, Rubric
from observer.score import Recipe, score_file
from observer.types import RefusedError, Verdict
from scoring import read, row, write


def a_recipe():
    rubric = Rubric({"accuracy": Accuracy(), "format": Format(weight=0.5)}, Observe())
    return Recipe(rubric, GroupMeanStd(), "sum_then_normalise", Quadratic(), float("inf"), None)


def test_a_script_scores_a_file_and_gets_the_sums(tmp_path):
    rows = write(tmp_path / "rows.jsonl", row(7, 7, 8, 8, id="a"), row(9, 9, gold="9", id="b"))
    tally, audit = score_file(a_recipe(), rows, tmp_path / "scored.jsonl", audit=True)
    lines = read(tmp_path / "scored.jsonl")
    assert [f"{line['id']}{line['index']}" for line in lines] == ["a0", "a1", "a2", "a3", "b0", "b1"]
    assert [line["reward"] for line in lines] == [1.5, 1.5, 0.5, 0.5, 1.5, 1.5]
    assert (tally.rows, tally.completions, tally.verdicts[Verdict.CORRECT], tally.zero_signal) == (2, 6, 4, 1)
    assert audit.count == 0
    assert read(tmp_path / "scored.audit.jsonl") == []


def test_a_script_gets_no_audit_that_it_did_not_ask_for_and_no_file_is_written_over(tmp_path):
    rows = write(tmp_path / "rows.jsonl", row(7, 8))
    assert score_file(a_recipe(), str(rows), str(tmp_path / "scored.jsonl"))[1] is None
    assert not (tmp_path / "scored.audit.jsonl").exists()
    with pytest.raises(RefusedError, match="exists; name a file that does not"):
        score_file(a_recipe(), rows, tmp_path / "scored.jsonl")
