"""Worked solutions of four forms: what a cold start imitates whose rewards have something to choose from."""

from collections import Counter, defaultdict

import numpy as np

from observer.data.tiles.rows import LEVELS, Tiles
from observer.rewards import Observe
from observer.types import Verdict
from observer.verifier.verify import verify

FORMAT = Observe(lenient=("tag",))


def problems(count=64 * LEVELS, **options):
    return list(Tiles(rows=count, **options).read())


def form(text):
    """Whether a solution lists what is seen, and whether it checks itself from the back."""
    return "<observe>" in text, "," in text


def test_the_four_forms_are_equally_many_at_every_level_and_independent_of_the_question():
    varied = problems(128 * LEVELS, solutions="varied")
    forms = Counter((form(p.metadata["solution"]), p.level) for p in varied)
    assert len(forms) == 4 * LEVELS
    assert min(forms.values()) > 128 / 4 - 4 * 5  # four standard deviations of a count
    by_colour = Counter((form(p.metadata["solution"]), p.metadata["colour"]) for p in varied)
    assert max(abs(count / len(varied) * 16 - 1) for count in by_colour.values()) < 0.4
    same = [p.metadata["solution"] for p in problems(128 * LEVELS, solutions="varied")]
    assert same == [p.metadata["solution"] for p in varied]


def test_varied_rows_ask_and_show_what_plain_ones_do():
    for plain, varied in zip(problems(64), problems(64, solutions="varied"), strict=True):
        assert (plain.id, plain.question, plain.answer) == (varied.id, varied.question, varied.answer)
        assert plain.pictures[0].name == varied.pictures[0].name
        if form(varied.metadata["solution"]) == (True, False):
            assert varied.metadata["solution"] == plain.metadata["solution"]


def test_every_form_is_right_and_only_those_that_observe_keep_the_format():
    for problem in problems(solutions="varied"):
        text = problem.metadata["solution"]
        reading = FORMAT.read(text)
        assert verify(problem.answer, reading.answer, problem.kind)[0] is Verdict.CORRECT
        assert reading.formatted == form(text)[0]
        for chain in text.split("<think>")[1].split("</think>")[0].split(","):
            first, *steps = chain.split("=")
            assert steps == [] or eval_sum(first) == int(steps[0].split("+")[0])
            assert chain.split()[-1] == problem.answer


def eval_sum(text):
    return sum(map(int, text.split("+")))


def test_at_every_level_verbose_takes_over_1_6_times_the_tokens_of_terse_and_none_is_cut(processor):
    varied = problems(solutions="varied")
    texts = [problem.metadata["solution"] for problem in varied]
    lengths = defaultdict(list)
    for problem, text, ids in zip(varied, texts, processor.tokenizer(texts).input_ids, strict=True):
        observed, verbose = form(text)
        lengths[problem.level, observed, verbose].append(len(ids) + 1)
    for level in range(1, LEVELS + 1):
        for observed in (True, False):
            terse, verbose = (np.mean(lengths[level, observed, each]) for each in (False, True))
            assert verbose >= 1.6 * terse
    assert max(map(max, lengths.values())) <= 102  # experiments/parts leaves room for 112


def test_rows_with_other_solutions_are_other_rows():
    """A run that goes on with other solutions notices."""
    plain, varied = (Tiles(rows=8, solutions=each).read().fingerprints() for each in ("plain", "varied"))
    assert not set(plain.tolist()) & set(varied.tolist())
