"""Comparisons of scripted models: what is told of them, what is refused, the page of their rows."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, t

import laddered
from laddered import MODEL, PLAIN, Silent
from observer.cli import main
from observer.data.checks.cache import file_digest
from observer.evaluation import Benchmark, Evaluation
from observer.evaluation.comparison.comparing import compare
from observer.evaluation.comparison.page import choose, comparison_page, same_rows, told
from observer.evaluation.comparison.paired import Verdicts, difference
from observer.evaluation.comparison.reading import read_evaluations
from observer.evaluation.evaluating import evaluate
from observer.rollout.scripted import ScriptedEngine
from observer.statistics import crossed, rows_to_resolve, smallest_effect
from observer.types import RefusedError

SAID = "<observe> {} </observe><think> so </think><answer> {} </answer>"
RIGHT, FOUR = SAID.format("a", "{answer}"), SAID.format("b", "4")


def evaluated(source, folder, text, **options):
    default = {"response_format": PLAIN, "responses": 2, "max_tokens": 64, "chunk_rows": 4}
    model = replace(MODEL, engine=ScriptedEngine([text]))
    evaluation = Evaluation({"mine": Benchmark(source, "subject")}, model, **{**default, **options})
    evaluate(evaluation, folder, Silent())
    return str(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return laddered.rows(folder, 12, subject=lambda row: "odd" if row % 2 else "even")


@pytest.fixture(scope="module")
def models(source, tmp_path_factory):
    """One that always says 4, which two of twelve rows want, and one that is always right; not changed."""
    folder = tmp_path_factory.mktemp("models")
    return [evaluated(source, folder / name, text) for name, text in (("four", FOUR), ("right", RIGHT))]


def test_rows_won_and_lost_and_the_paired_difference(models):
    found, _ = compare(read_evaluations(models))
    [pair] = found["benchmarks"]["mine"]["pairs"]
    assert pair["models"] == ["four", "right"]
    assert pair["mcnemar"] == {"both": 2, "won": 10, "lost": 0, "neither": 0, "p": 0.00195312}
    assert pair["won"] == [f"r{row}" for row in range(12) if row % 7 != 4]
    assert (pair["lost"], pair["rows"], pair["not_asked"]) == ([], 12, 0)
    mean, low, high = pair["greedy"]["difference"]
    assert mean == pytest.approx(10 / 12, abs=1e-6)
    assert 0 < low < mean < high < 1
    assert pair["sampled"]["difference"] == pair["greedy"]["difference"]
    assert found["benchmarks"]["mine"]["differs"] == [
        f"model.engine.texts.0: {FOUR!r} of four, {RIGHT!r} of right"
    ]


def test_of_three_models_all_pairs_are_adjusted_together(models, source, tmp_path):
    third = evaluated(source, tmp_path / "none", SAID.format("c", "none"), responses=0)
    found, _ = compare(read_evaluations([*models, third]))
    pairs = found["benchmarks"]["mine"]["pairs"]
    assert [pair["models"] for pair in pairs] == [["four", "right"], ["four", "none"], ["right", "none"]]
    assert all(pair["greedy"]["p_holm"] >= pair["greedy"]["p"] for pair in pairs)
    assert max(pair["greedy"]["p_holm"] / pair["greedy"]["p"] for pair in pairs if pair["greedy"]["p"]) > 2
    assert "sampled" not in pairs[0], "one of them has no samples"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 8}, r"digest is 12 rows .* and 8 rows .* evaluate both with the same rows"),
        ({"max_tokens": 63}, "max_tokens is 64 in .* and 63 in .*; evaluate both with the same max_tokens"),
        ({"temperature": 0.5}, r"temperature is 1\.0 in .* and 0\.5 in .*; evaluate both with the same temp"),
    ],
)
def test_evaluations_that_were_asked_otherwise_are_refused(models, source, tmp_path, options, words):
    other = evaluated(source, tmp_path / "other", RIGHT, **options)
    with pytest.raises(RefusedError, match=f"mine: {words}"):
        read_evaluations([models[0], other])


def test_what_is_no_finished_evaluation_is_refused(models, tmp_path):
    for folders, words in (
        (models[:1], "1 folder to compare; name two or more"),
        ([models[0], models[0] + "/."], "are one folder"),
        ([models[0], str(tmp_path)], "holds no finished evaluation .*name a folder that observer evaluate"),
    ):
        with pytest.raises(RefusedError, match=words):
            read_evaluations(folders)
    changed = shutil.copytree(models[1], tmp_path / "changed")
    with (changed / "answers" / "mine.parquet").open("ab") as file:
        file.write(b"more")
    with pytest.raises(RefusedError, match=r"mine\.parquet is not as observer evaluate has written it"):
        read_evaluations([models[0], str(changed)])
    scores = json.loads((changed / "scores.json").read_text())
    (changed / "answers" / "yours.parquet").write_bytes((changed / "answers" / "mine.parquet").read_bytes())
    scores["benchmarks"] = {"yours": scores["benchmarks"]["mine"]}
    scores["files"] = {"answers/yours.parquet": file_digest(changed / "answers" / "yours.parquet")}
    (changed / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(RefusedError, match="no benchmark is in all evaluations: four has mine; changed has"):
        read_evaluations([models[0], str(changed)])


def test_the_page_shows_rows_that_differ_first_and_says_what_it_leaves_out(models, source, tmp_path):
    evaluations = read_evaluations(models)
    _, verdicts = compare(evaluations)
    chosen = choose(verdicts, ["four", "right"], 11)
    assert [one.disagree for one in chosen] == [True] * 10 + [False]
    about = told(chosen, verdicts)
    assert about == "11 of 12 rows; those on which the models disagree come first, 10 of 10"
    opened = {"mine": same_rows(evaluations[0], "mine", Benchmark(source))}
    page = "".join(comparison_page(evaluations, chosen, opened, about))
    assert page.count("<article") == page.count("<img ") == 11
    assert page.count('class="side"') == 22
    assert re.findall(r'<select id="(\w+)"', page) == ["reason", "kind", "subject"]
    other = laddered.rows(tmp_path, 12, question=lambda row: f"Other {row}?")
    with pytest.raises(RefusedError, match="the rows of mine are not those that"):
        same_rows(evaluations[0], "mine", Benchmark(other))


def test_rows_won_and_lost_are_taken_in_turn():
    right = np.array([[0] * 50 + [1] * 3 + [1], [1] * 50 + [0] * 3 + [1]], float)
    verdicts = {"mine": Verdicts([f"r{row}" for row in range(54)], np.arange(54), {"greedy": right})}
    chosen = choose(verdicts, ["a", "b"], 10)
    assert [one.who for one in chosen] == ["only b is right"] * 7 + ["only a is right"] * 3


def test_the_rows_that_are_needed_tell_the_difference_as_often_as_they_say():
    rng = np.random.default_rng(0)
    effect, rows = 0.1, 60

    def drawn(count):
        return rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.6, 0.25], size=count)

    estimates = [crossed(drawn(rows)[None]) for _ in range(40)]
    needed = int(np.median([rows_to_resolve(one, effect) for one in estimates]))
    found = np.mean([crossed(drawn(needed)[None]).p_value() < 0.05 for _ in range(400)])
    assert abs(found - 0.8) < 0.06
    at = crossed(drawn(needed)[None])
    assert smallest_effect(at) == pytest.approx(effect, rel=0.15)
    assert rows_to_resolve(at, smallest_effect(at)) == pytest.approx(needed, abs=1)
    assert rows_to_resolve(crossed([[0.0, 0.0]]), 0.1) is smallest_effect(crossed([[0.0, 0.0]])) is None


def test_a_paired_difference_is_that_of_a_paired_t_test_and_of_a_binomial_test():
    rng = np.random.default_rng(1)
    first_P, second_P = rng.integers(0, 2, (2, 300)).astype(float)
    found = difference(first_P, second_P, np.arange(300))
    gaps_P = second_P - first_P
    error = gaps_P.std(ddof=1) / np.sqrt(300)
    assert found["error"] == pytest.approx(error, rel=1e-5)
    wald = gaps_P.mean() + t.ppf([0.025, 0.975], 299) * error
    assert found["difference"][1:] == pytest.approx(wald, abs=2e-3)
    assert binomtest(9, 10).pvalue == pytest.approx(0.0215, abs=1e-4)


def test_the_command_prints_and_writes_what_it_found(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *models, "--output", "found.json"]) == 0
    printed = capsys.readouterr().out
    assert "told apart" in printed
    assert printed.endswith("found.json\n")
    assert json.loads((tmp_path / "found.json").read_text())["models"] == dict(
        zip(["four", "right"], models, strict=True)
    )
    assert main(["compare", *models, "--page", "page.html"]) == 2
    told = capsys.readouterr().err
    assert "evaluation.yaml is no file; name with --config the configuration" in told
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
