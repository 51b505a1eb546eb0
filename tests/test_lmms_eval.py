"""What lmms-eval reads of our predictions; by its own functions with ``tox -e peers``."""

import importlib
import json
import re

import pytest

from documented import blocks
from observer.release.lmms_eval import REASONING_TAGS, refuse_form, written
from observer.types import RefusedError

RESPONSE = "<observe> a dial </observe>\n<think> so 7 </think>\n<answer> 7 </answer>"


def record(place, verdict="correct", text=RESPONSE, extracted="7"):
    fields = {"id": f"row-{place}", "question": "<image>?", "answer": "7", "tokens": 9, "text": text}
    return (
        json.dumps({**fields, "verdict": verdict, "extracted": extracted}, ensure_ascii=False).encode()
        + b"\n"
    )


LINES = [record(0), record(0, "wrong", "nothing", None), record(1), record(1)]


def test_a_sample_is_a_row_with_all_its_completions():
    first, second = (json.loads(line) for line in written(LINES, "lmms-eval", "", 2))
    assert (first["doc_id"], first["target"], first["score"]) == (0, "7", 0.5)
    assert first["resps"] == [RESPONSE, "nothing"]
    assert first["filtered_resps"] == ["7", ""]
    assert (second["doc_id"], second["score"]) == (1, 1.0)
    assert [key for key in first if "score" in key] == ["score"]  # the first such key is what is read


def test_a_log_holds_one_response_per_document():
    log = json.loads(
        b"".join(written([record(0), record(1, text="\"'ä\n")], "lmms-eval-log", "mathvista", 1))
    )
    assert log["model_configs"]["task"] == "mathvista"
    assert log["logs"] == [{"doc_id": 0, "resps": [[RESPONSE]]}, {"doc_id": 1, "resps": [["\"'ä\n"]]}]
    assert json.loads(b"".join(written([], "lmms-eval-log", "mathvista", 1)))["logs"] == []


def test_lines_of_our_own_are_as_they_were():
    assert list(written(LINES, "jsonl", "", 2)) == LINES


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("lmms-eval-log", "", 1), "needs --task"),
        (("lmms-eval-log", "mmmu", 2), "--samples is 2; it must be 1 .. 1"),
        (("jsonl", "mmmu", 1), "--task is 'mmmu', which --format jsonl does not take"),
    ],
)
def test_forms_that_cannot_be_written_are_refused(asked, why):
    with pytest.raises(RefusedError, match=re.escape(why)):
        refuse_form(*asked)


def strip(text, pairs):
    """What lmms-eval's tag stripper does: from the first text of a pair to the second, again and again."""
    for start, end in pairs:
        while start in text and (stop := text.find(end, place := text.find(start))) != -1:
            text = text[:place] + text[stop + len(end) :]
    return text.strip()


def test_the_tags_of_the_page_leave_the_bare_answer():
    [shown] = [block for block in blocks("docs/predict.md", "json") if "observe" in block]
    assert json.loads(shown) == REASONING_TAGS
    assert strip(RESPONSE, REASONING_TAGS) == "7"
    assert strip("<think>1</think><answer>7</answer>", REASONING_TAGS) == "7"
    assert strip(RESPONSE, REASONING_TAGS[1:2]).startswith("<observe>")  # what it knows by itself


@pytest.mark.peers
def test_their_own_stripper_leaves_the_bare_answer():
    reasoning = importlib.import_module("lmms_eval.api.reasoning")
    pairs = reasoning.parse_reasoning_tags_config(cli_value=json.dumps(REASONING_TAGS))
    for text in (RESPONSE, "<think>1</think><answer>7</answer>", "<answer>7</answer>", "7"):
        assert reasoning.strip_reasoning_tags(text, pairs) == strip(text, pairs) == "7"
    assert "<observe>" in reasoning.strip_reasoning_tags(RESPONSE, [["<think>", "</think>"]])
    cut = "<observe> a dial </observe><think> so"
    assert reasoning.strip_reasoning_tags(cut, pairs) == strip(cut, pairs) == "<think> so"


@pytest.mark.peers
def test_their_own_loader_reads_the_scores(tmp_path):
    loader = importlib.import_module("lmms_eval.baselines.loader")
    (tmp_path / "mine.jsonl").write_bytes(b"".join(written(LINES, "lmms-eval", "", 2)))
    assert loader.load_baseline(str(tmp_path / "mine.jsonl"), "any") == ({0: 0.5, 1: 1.0}, None)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_their_own_model_gives_the_responses_on(tmp_path):
    from_log = importlib.import_module("lmms_eval.models.simple.from_log")
    log = b"".join(written([record(0), record(1, text="other")], "lmms-eval-log", "mathvista", 1))
    (tmp_path / "mine.json").write_bytes(log)
    model = from_log.FromLog(logs=str(tmp_path))
    asked = [type("Request", (), {"args": ("", {}, None, row, "mathvista", "test")}) for row in (1, 0)]
    assert model.generate_until(asked) == ["other", RESPONSE]
