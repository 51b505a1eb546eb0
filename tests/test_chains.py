"""The quality of chains of thought: what each figure counts, and what it does not apply to."""

import json
import math
from dataclasses import replace

import pytest

import runs
from observer.data import Tiles
from observer.metrics.chains import CHAINS, Chain, chain_figures, chain_values, chains, facts_of, last_result
from observer.types import Completion, Group, Prompt, Sampling, Score, Verdict
from observer.verifier import Verifier

TILES = Tiles(rows=64, split="val").read()


def found(problem, *texts, finish="stop"):
    """The chains of responses to a problem, whose answers are what the last tags hold."""
    completions = tuple(
        Completion(tuple(map(ord, text)), (), text, finish, place) for place, text in enumerate(texts)
    )
    answers = [
        text.rpartition("<answer>")[2].partition("</answer>")[0].strip() if "<answer>" in text else None
        for text in texts
    ]
    scores = [tuple(Score(Verdict.WRONG, "", answer, True) for answer in answers)]
    group = Group(Prompt(problem, ()), completions, Sampling(group_size=len(texts)))
    return chains([group], scores, Verifier())[0], [group], scores


def test_a_worked_solution_of_tiles_is_whole_true_reused_and_followed():
    problem = TILES[5]
    [chain], *_ = found(problem, problem.metadata["solution"])
    assert chain._replace(repeated=0.0) == Chain(1.0, 0.0, 1.0, 1.0, 1.0)
    [cut], *_ = found(problem, problem.metadata["solution"], finish="length")
    assert cut.well_formed == 0.0


@pytest.mark.parametrize(
    ("kind", "think", "answer", "follows"),
    [
        ("integer", "4 + 5 = 9", "9", 1),
        ("integer", "4 + 5 = 9", "10", 0),
        ("integer", "4 + 5 = 9 tiles in 2 rows", "9", 1),
        ("number", "so it is 1/4", "0.25", 1),
        ("number", r"x = \frac{1}{4}", "0.25", 1),
        ("choice", "A is too long and so is C, therefore B", "(B)", 1),
        ("choice", "B fits, not C", "B", 0),
        ("text", "It rolls.\nThe ball is Red", "red", 1),
        pytest.param("expression", "then y = x + 1", "1 + x", 1, marks=pytest.mark.whole),
        ("integer", "no idea", "3", 0),
    ],
)
def test_an_answer_follows_if_the_verifier_says_that_the_last_result_is_equal(kind, think, answer, follows):
    problem = replace(TILES[0], kind=kind)
    text = f"<observe>a</observe><think>{think}</think><answer>{answer}</answer>"
    [chain], *_ = found(problem, text)
    assert chain.follows == follows


def test_what_does_not_apply_is_none_and_what_is_made_up_counts_against_the_facts():
    problem = replace(TILES[1], metadata={"pips": [4, 5]})
    texts = (
        "4 and 5 make 9",
        "<observe> 4 5 6 1 </observe><think> 4 + 5 = 9 </think>",
        "<think> 4 </think><observe> 4 </observe><answer> 4 </answer>",
    )
    (bare, unanswered, turned), *_ = found(problem, *texts)
    assert (bare.well_formed, bare.reused, bare.follows, bare.true_facts) == (0.0, None, None, None)
    assert (unanswered.reused, unanswered.follows, unanswered.true_facts) == (0.5, None, 0.5)
    assert turned.well_formed == 0.0, "the blocks are in another order"


@pytest.mark.parametrize(
    ("metadata", "facts"),
    [
        ({"facts": ["red", 2]}, ["red", 2]),
        ({"digits": [3, 0]}, [3, 0]),
        ({"facts": "red"}, []),
        ({"facts": [{"a": 1}]}, []),
        ({"digits": 3}, []),
        ({"facts": [math.inf]}, []),
        ({"pips": []}, []),
        ({}, []),
    ],
)
def test_rows_of_users_with_other_metadata_have_no_facts(metadata, facts):
    assert facts_of(replace(TILES[0], metadata=metadata)) == facts


def test_figures_are_means_over_what_they_apply_to():
    problem = replace(TILES[1], metadata={})
    whole = "<observe> 4 5 </observe><think> 4 + 5 = 9 </think><answer> 9 </answer>"
    _, groups, scores = found(problem, whole, whole, "nothing")
    right = [tuple(replace(score, verdict=Verdict.CORRECT) for score in scores[0][:1]) + scores[0][1:]]
    figures = chain_figures(chain_values(groups, right, Verifier()))
    assert figures.keys() == {*CHAINS, "tokens_per_correct"} - {"true_facts"}
    assert (figures["well_formed"], figures["follows"]) == (pytest.approx(2 / 3), 1.0)
    assert figures["tokens_per_correct"] == 2 * len(whole) + len("nothing")
    assert "tokens_per_correct" not in chain_figures(chain_values(groups, scores, Verifier()))


def test_a_long_result_and_an_endless_one_are_none():
    assert last_result("x = " + "1+" * 200, "expression") is None
    assert last_result("", "integer") is None


@pytest.mark.whole
def test_every_step_of_a_run_logs_its_chains(tmp_path):
    trainer = runs.trainer(tmp_path, 1)
    learner = runs.learner()
    seen = []
    learner.curves.add = lambda trainer, figures, step: seen.append(figures)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    figures = {name for figures in seen for name in figures}
    assert {f"zoom_chains/{name}" for name in CHAINS} <= figures
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "complete"
