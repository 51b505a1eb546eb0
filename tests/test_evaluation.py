"""Evaluations with a scripted model: what is kept, scores against scipy, what goes on, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import hypergeom

import laddered
from laddered import MODEL, PLAIN, Silent
from observer.evaluation import Benchmark, Evaluation
from observer.evaluation.evaluating import DISAGREE, SCORES, evaluate
from observer.evaluation.outcomes import Outcomes
from observer.evaluation.scores import scores
from observer.rollout.scripted import ScriptedEngine
from observer.statistics import maj_at_k
from observer.types import RefusedError


def asked(source, **options):
    """An evaluation of the scripted model, whose greedy response is right and every second sample is."""
    default = {"model": MODEL, "response_format": PLAIN, "responses": 4, "max_tokens": 64}
    return Evaluation({"mine": Benchmark(source)}, **{**default, "chunk_rows": 4, **options})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(
        tmp_path_factory.mktemp("rows"), 10, subject=lambda row: "odd" if row % 2 else "even"
    )


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    """An unbroken evaluation; tests do not change it."""
    folder = tmp_path_factory.mktemp("done")
    evaluate(asked(source), folder, Silent())
    return folder


def test_all_that_was_answered_is_kept_with_its_scores(done):
    found = json.loads((done / SCORES).read_text())["benchmarks"]["mine"]
    assert (found["rows"], found["clusters"], found["responses"], found["not_asked"]) == (10, 10, 4, 0)
    assert found["greedy"][0] == 1.0
    assert found["sampled"][0] == 0.5
    assert found["pass@2"][0] == pytest.approx(5 / 6, abs=1e-6)  # 2 of 4 are right: 1 - C(2, 2) / C(4, 2)
    table = pq.read_table(done / "answers" / "mine.parquet")
    assert table["id"].to_pylist() == [f"r{row}" for row in range(10)]
    assert {len(samples) for samples in table["samples"].to_pylist()} == {4}
    assert "versions" in json.loads(table.schema.metadata[b"observer.provenance"])


def test_an_evaluation_that_was_stopped_goes_on_and_ends_with_the_same_files(source, done, tmp_path):
    class Stopping(Silent):
        def chunk(self, rows, tokens):
            super().chunk(rows, tokens)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(asked(source), tmp_path, Stopping())
    assert not (tmp_path / SCORES).exists()
    shown = Silent()
    evaluate(asked(source), tmp_path, shown)
    assert shown.lines == ["mine: 2 of 3 chunks are finished already", *shown.lines[1:]]
    assert laddered.files(tmp_path) == laddered.files(done)
    with pytest.raises(RefusedError, match=r"temperature was 1\.0 and is 0\.5"):
        evaluate(asked(source, temperature=0.5), tmp_path, Silent())


def test_rows_on_which_extractors_disagree_are_listed(source, tmp_path):
    texts = ["<observe>a</observe><think>b</think><answer>{answer}</answer> or rather 99"]
    model = replace(MODEL, engine=ScriptedEngine(texts), max_prompt_tokens=26)
    found = evaluate(asked(source, model=model, responses=0), tmp_path, Silent())["benchmarks"]["mine"]
    assert (found["disagree"], "sampled" in found) == (found["rows"], False)
    line = json.loads((tmp_path / DISAGREE).read_text().splitlines()[0])
    assert line["verdicts"] == {"tag": "correct", "boxed": None, "last": "wrong"}
    assert found["greedy"][0] == 0.0, "the format is broken, so there is no answer"
    assert found["extractors"]["tag"][0] == 1.0


def test_pass_and_majority_agree_with_an_independent_implementation():
    rng = np.random.default_rng(0)
    labels_P_N = rng.integers(-1, 4, (300, 8))
    found = scores(_outcomes(labels_P_N))
    right_P = (labels_P_N == 0).sum(1)
    for k in (2, 4, 8):
        exact = 1 - hypergeom(8, right_P, k).pmf(0)
        assert found[f"pass@{k}"][0] == pytest.approx(exact.mean(), abs=1e-6)
    for k in (4, 8):
        votes = [_majority(row[rng.permutation(8)[:k]]) for row in labels_P_N for _ in range(40)]
        spread = np.std(votes) / np.sqrt(len(votes) / 40)
        assert abs(np.mean(votes) - maj_at_k(labels_P_N, k).mean()) < 4 * spread


def test_rows_of_one_picture_are_one_cluster():
    labels_P_N = np.zeros((40, 1), np.int64)
    greedy_P = np.arange(40) % 2 == 0
    apart = scores(_outcomes(labels_P_N, greedy_P))["greedy"]
    together = scores(_outcomes(labels_P_N, greedy_P, np.arange(40) // 8 * 2 + np.arange(40) % 2))["greedy"]
    assert together[0] == apart[0] == 0.5
    assert together[2] - together[1] > 1.5 * (apart[2] - apart[1])


def test_names_and_options_that_cannot_be_are_refused(source):
    for options, words in (
        ({"responses": -1}, "responses is -1"),
        ({"temperature": 0}, "temperature is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"model": replace(MODEL, path="")}, "model.path is ''"),
    ):
        with pytest.raises(RefusedError, match=words):
            asked(source, **options)
    with pytest.raises(RefusedError, match="cannot name a folder"):
        Evaluation({"../up": Benchmark(source)}, MODEL)
    with pytest.raises(RefusedError, match="benchmarks is empty"):
        Evaluation({}, MODEL)


def _outcomes(labels_P_N, greedy_P=None, cluster_P=None):
    count = len(labels_P_N)
    no_P = np.zeros(count, bool)
    return Outcomes(
        ids=[f"r{row}" for row in range(count)],
        cluster_P=np.arange(count) if cluster_P is None else cluster_P,
        greedy_P=no_P if greedy_P is None else greedy_P,
        extracted_P_E=np.zeros((count, 3), bool),
        labels_P_N=labels_P_N,
        formatted_P=no_P,
        truncated_P=no_P,
        unparsed_P=no_P,
        unverifiable_P=no_P,
        tokens_P=np.ones(count, np.int64),
        groups={},
        faults=[],
    )


def _majority(votes):
    """The chance that the right answer wins a vote, counted by hand."""
    counts = {label: int((votes == label).sum()) for label in set(votes.tolist()) - {-1}}
    most = max(counts.values(), default=0)
    winners = [label for label, count in counts.items() if count == most]
    return (0 in winners) / max(len(winners), 1)
