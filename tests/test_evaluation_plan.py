"""What is left of an evaluation: counted without a model, timed on a few rows, and nothing written."""

import json
from dataclasses import replace

import pytest

import laddered
from laddered import MODEL, PLAIN, Silent
from observer.cli import main
from observer.evaluation import Audit, Benchmark, Evaluation
from observer.evaluation.evaluating import WORK, evaluate
from observer.evaluation.plan import plan
from observer.types import RefusedError

NOWHERE = replace(MODEL, path="no/such-model")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(tmp_path_factory.mktemp("rows"), 10)


def asked(source, **options):
    default = {"model": MODEL, "response_format": PLAIN, "responses": 4, "max_tokens": 64}
    return Evaluation({"mine": Benchmark(source)}, **{**default, "chunk_rows": 4, **options})


def test_a_plan_counts_without_a_model_and_writes_nothing(source, tmp_path):
    [cost] = plan(asked(source, model=NOWHERE), tmp_path / WORK, 0)
    assert (cost.name, cost.chunks, cost.finished, cost.rows) == ("mine", 3, 0, 10)
    assert (cost.responses, cost.most_tokens) == (10 * 5, 10 * 5 * 64)
    assert (cost.audited, cost.tokens, cost.seconds) == (0, None, None)
    [audited] = plan(asked(source, model=NOWHERE, audit=Audit(4), limit=6), tmp_path / WORK, 0)
    assert audited.audited == 4 * 7
    assert audited.responses == 6 * 5 + 4 * 7
    assert not list(tmp_path.iterdir())


def test_what_is_finished_is_not_counted_and_a_few_rows_tell_tokens(source, tmp_path):
    evaluate(asked(source), tmp_path, Silent())
    [whole] = plan(asked(source), tmp_path / WORK, 8)
    assert (whole.finished, whole.rows, whole.responses, whole.seconds) == (3, 0, 0, None)
    (tmp_path / WORK / "mine" / "000001.arrow").unlink()
    before = laddered.files(tmp_path)
    [cost] = plan(asked(source), tmp_path / WORK, 8)
    assert (cost.finished, cost.rows, cost.responses) == (2, 4, 20)
    assert 20 < cost.tokens < cost.most_tokens
    assert cost.seconds > 0
    assert laddered.files(tmp_path) == before
    with pytest.raises(RefusedError, match=r"temperature was 1\.0 and is 0\.5"):
        plan(asked(source, temperature=0.5), tmp_path / WORK, 0)


def test_the_command_says_what_is_unknown(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    benchmarks = {"mine": {"rows": {"class_path": "Jsonl", "init_args": {"path": source.path}}}}
    words = ["--benchmarks", json.dumps(benchmarks), "--model.path", "no/such-model", "--max_tokens", "100"]
    assert main(["evaluate", "--config", "eval", *words, "--plan"]) == 0
    printed = capsys.readouterr().out
    assert f"{10 * 9 * 100:,}" in printed
    assert "unknown" in printed
    assert not list(tmp_path.iterdir())
    assert main(["evaluate", "--config", "eval", "--timed_rows", "-1"]) == 2
