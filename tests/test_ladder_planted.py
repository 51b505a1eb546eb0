"""Planted rows: a scripted model that knows the truth; wrong golds and rows solvable blind are found."""

from collections import Counter

import numpy as np
import pytest

import laddered
from laddered import table
from observer.ladder import Measure, NoPicture, Review, SimpleQuestions
from observer.seeding import stable_seed
from observer.types import Completion, Problem, Score, Turn, Verdict
from planted import board, shown

COUNT = 200
OPTIONS = ("dot", "star", "line", "ring")
ASKED = "<image>Which? A. dot B. star C. line D. ring"


class Knower:
    """A model that gives an answer with a probability that is known, else one of its mistakes."""

    tokens = 0

    def __init__(self, says, rate, mistakes=50):
        self.says, self.rate, self.mistakes = says, rate, mistakes

    def faults(self, problems, ask, model=None):
        return [""] * len(problems)

    def ask(self, problems, ask, model=None):
        return [[self.response(problem, place) for place in range(ask.responses)] for problem in problems]

    def response(self, problem, place):
        luck = np.random.default_rng(stable_seed(0, problem.id, place))
        name = problem.id.partition("#")[0]
        answer = self.says(name) if luck.random() < self.rate(name) else f"{luck.integers(self.mistakes)}"
        verdict = Verdict.CORRECT if answer == problem.answer else Verdict.WRONG
        return Completion((1,), (0.0,), "", "stop", place), Score(verdict, "", answer, True)


def row(name, answer, **fields):
    return Problem(name, 0, (Turn("user", "<image>How many?"),), answer, "integer", (PICTURE,), **fields)


PICTURE = shown(board(0)[0])


def measured(step, problems, model, folder):
    values = step.measure(problems, model)
    values.pop("samples", None)
    values = {**values, **{"samples": [[]] * len(problems)}} if "difficulty" in values else values
    return table(folder, laddered.rows(folder / "rows", len(problems)), **values)


def scores(found, planted):
    return len(found & planted) / len(planted), len(found & planted) / max(1, len(found))


@pytest.mark.slow
def test_wrong_gold_answers_are_listed_first(tmp_path):
    """Beside 200 of them, 400 sound rows, 200 hard ones, and 50 that the model misreads half of the time."""
    truth = {f"w{n}": str(100 + n) for n in range(COUNT)}
    truth |= {f"s{n}": str(100 + n) for n in range(2 * COUNT)}
    truth |= {f"h{n}": str(100 + n) for n in range(COUNT)}
    golds = {name: str(int(value) + 1 if name[0] == "w" else value) for name, value in truth.items()}
    model = Knower(truth.get, lambda name: {"w": 0.8, "s": 0.6, "h": 0.02}[name[0]])
    problems = [row(name, gold) for name, gold in golds.items()]
    columns = measured(Measure(), problems, model, tmp_path)
    listed = [problems[place].id for place, _ in Review(most=COUNT).select(columns).review]
    recall, precision = scores(set(listed), {name for name in truth if name[0] == "w"})
    assert (recall, precision) == (1.0, 1.0)
    dropped = {problems[place].id for place, _ in Review(unreviewed="drop_agreeing").select(columns).removed}
    recall, precision = scores(dropped, {name for name in truth if name[0] == "w"})
    assert (recall, precision) == (0.96, 1.0)


@pytest.mark.slow
def test_rows_that_are_solvable_without_the_picture_are_found(tmp_path):
    """Beside 200 of them, 200 that are never solved so, and 200 choices of four that are guessed."""
    truth = {f"b{n}": str(n) for n in range(COUNT)} | {f"n{n}": str(n) for n in range(COUNT)}
    problems = [row(name, gold) for name, gold in truth.items()]
    problems += [four(f"g{n}", "ABCD"[n % 4]) for n in range(COUNT)]
    model = Knower(lambda name: truth.get(name, "B"), lambda name: 0.8 if name[0] == "b" else 0.0)
    model.response = guessing(model.response)
    columns = measured(NoPicture(), problems, model, tmp_path)
    gone = {problems[place].id for place, _ in NoPicture().select(columns).removed}
    recall, precision = scores(gone, {name for name in truth if name[0] == "b"})
    assert recall == 1.0
    assert precision == 200 / 208
    assert Counter(name[0] for name in gone) == {"b": COUNT, "g": 8}, "4 % of the guessed ones"


def four(name, answer):
    return Problem(name, 0, (Turn("user", ASKED),), answer, "choice", (PICTURE,), options=OPTIONS)


def guessing(answers, seed=0):
    """Responses that are a guess where there are four options."""

    def response(problem, place):
        if problem.kind != "choice":
            return answers(problem, place)
        right = np.random.default_rng(stable_seed(seed, problem.id, place)).random() < 0.25
        score = Score(Verdict.CORRECT if right else Verdict.WRONG, "", "x", True)
        return Completion((1,), (0.0,), "", "stop", place), score

    return response


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "counts"),
    [(NoPicture(), [8, 3, 3, 1, 2, 4, 5, 6, 6, 6]), (SimpleQuestions(), [3, 6, 4, 6, 7, 10, 6, 6, 3, 8])],
)
def test_of_four_option_rows_at_chance_at_most_one_in_twenty_is_marked(step, counts, tmp_path):
    problems = [four(f"g{n}", "ABCD"[n % 4]) for n in range(COUNT)]
    marked = []
    for seed in range(10):
        model = Knower(None, None)
        model.response = guessing(None, seed)
        folder = tmp_path / str(seed)
        columns = measured(step, problems, model, folder)
        marked.append(COUNT - len(step.select(columns).rows_N))
    assert marked == counts
    assert max(marked) <= 0.05 * COUNT
