"""What each step decides, on columns that are written by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

import laddered
from laddered import table
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES, NeuraLadder
from observer.data import Jsonl
from observer.ladder import (
    LowComplexity,
    Mix,
    NoPicture,
    Review,
    Sample,
    SimpleQuestions,
    Sort,
)
from observer.ladder.guessing.above_chance import above_chance, count_right
from observer.ladder.guessing.turned_options import chance, turned
from observer.ladder.steps.no_picture import without_pictures
from observer.types import Completion, Problem, RefusedError, Score, Turn, Verdict
from tables import holds_for


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(tmp_path_factory.mktemp("rows"), 180)


def ladder(folder, source, **columns):
    """180 rows, 20 of each level, with complexities that rise in a level."""
    rows = range(180)
    usual = {"difficulty": [row % 9 / 8 for row in rows], "complexity": [float(row // 9) for row in rows]}
    return table(folder, source, **{**usual, **columns})


def test_sorted_rows_are_easy_first_and_short_first(tmp_path, source):
    kept = Sort().select(ladder(tmp_path, source)).rows_N
    assert kept[:3].tolist() == [0, 9, 18]
    assert kept[-1] == 179


def test_of_easy_rows_the_short_ones_go_with_their_numbers(tmp_path, source):
    selection = LowComplexity(quantile=0.5).select(ladder(tmp_path, source))
    gone = dict(selection.removed)
    assert sorted(gone) == [9 * place for place in range(10)]
    assert gone[9] == "has difficulty 0 and complexity 1.0, below 9.5 tokens"
    assert len(selection.rows_N) == 170


@pytest.mark.parametrize("shares", ["ladder", "paper", (1, 0, 0, 0, 1, 0, 0, 0, 2)])
def test_a_mixture_has_the_shares_of_levels_and_slots(shares, tmp_path, source):
    shown = ladder(tmp_path, source)
    selection = Mix(shares=shares).select(shown)
    slots = selection.columns["slot"]
    levels = selection.rows_N % 9
    total = len(slots)
    wanted = {"ladder": [1 / 9] * 9, "paper": PAPER_SHARES}.get(shares, (0.25, 0, 0, 0, 0.25, 0, 0, 0, 0.5))
    assert total == {"ladder": 180, "paper": 100}.get(shares, 40)
    for found in (levels, slots):
        assert np.abs(np.bincount(found, minlength=9) / total - wanted).max() < 5.1 / total
    assert np.all(np.diff(slots) >= 0)
    assert np.abs(slots - levels).max() <= 4
    assert len(set(selection.rows_N.tolist())) == total
    assert total + len(list(selection.removed)) == 180
    for slot in set(slots.tolist()):
        assert np.all(np.diff(selection.rows_N[slots == slot] // 9) >= 0), "ascending complexity"


def test_a_mixture_of_many_rows_is_that_of_the_table(tmp_path):
    counts = Mix(size=10_000)._counts(np.full(9, 100_000))
    assert np.abs(counts / counts.sum(1, keepdims=True) - NeuraLadder().mixing([1] * 9)).max() < 0.25
    assert np.abs(counts.sum(0) / 10_000 - PAPER_SHARES).max() < 1e-3


def test_a_mixture_does_not_depend_on_the_order_of_its_rows(tmp_path, source):
    shown = ladder(tmp_path, source)
    one = Mix(size=90).select(shown).rows_N
    shown.apply(Sort().select(shown))
    assert Mix(size=90).select(shown).rows_N.tolist() == one.tolist()


def test_a_mixture_larger_than_its_levels_allow_is_refused(tmp_path, source):
    with pytest.raises(RefusedError, match=r"Mix\.size is 120; the shares allow 100 rows, as level 7 has 20"):
        Mix(size=120).select(ladder(tmp_path, source))


def test_a_sample_has_its_size_and_the_shares_that_are_left(tmp_path, source):
    shown = ladder(tmp_path, source)
    kept = Sample(size=45).select(shown).rows_N
    assert np.bincount(kept % 9).tolist() == [5] * 9
    assert kept.tolist() == sorted(kept.tolist())
    kept = Sample(size=150, shares="paper").select(shown).rows_N
    assert len(kept) == 150, "what hard levels lack comes from the others"
    with pytest.raises(RefusedError, match=r"Sample\.size is 181; 180 rows are left"):
        Sample(size=181).select(shown)


@holds_for("shares", [(1.0,) * 8, (-1.0, *(1.0,) * 8), (0.0,) * 9, "papers"])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(RefusedError, match=r"Mix\.shares is .*9 numbers"):
        Mix(shares=shares)


SAMPLES = [{"text": "", "extracted": text, "verdict": "wrong", "tokens": 9} for text in "5556"]


@pytest.fixture
def reviewed(tmp_path):
    """Ten rows, the first five of difficulty 1; row 2 agrees most on another answer, then rows 4 and 7."""
    form = laddered.rows(tmp_path / "ten", 10)
    never = [row < 5 for row in range(10)]
    columns = {
        "difficulty": [float(one) for one in never],
        "correct": [0 if one else 4 for one in never],
        "responses": [4] * 10,
        "other_count": [1, 0, 4, 1, 3, 0, 0, 3, 0, 0],
        "samples": [SAMPLES] * 10,
        "difficulty_low": [0.5] * 10,
        "difficulty_high": [1.0] * 10,
        "correct_length": [9.0] * 10,
    }
    return table(tmp_path, form, **columns)


def decided(folder, *choices):
    path = folder / "decisions.json"
    path.write_text(json.dumps({"format": "observer decisions 1", "decisions": list(choices)}))
    return str(path)


def test_rows_that_agree_on_another_answer_are_reviewed_first(reviewed):
    assert [row for row, _ in Review().select(reviewed).review] == [2, 4, 7, 0, 3, 1]
    assert [row for row, _ in Review(most=2).select(reviewed).review] == [2, 4]
    assert Review().select(reviewed).review[0][1] == "no response is right, and 100% agree on another answer"


@pytest.mark.parametrize(
    ("unreviewed", "gone"), [("keep", []), ("drop", [0, 1, 2, 3, 4]), ("drop_agreeing", [2, 4])]
)
def test_what_nobody_reviewed_is_an_option(unreviewed, gone, reviewed):
    selection = Review(unreviewed=unreviewed).select(reviewed)
    assert [row for row, _ in selection.removed] == gone


def test_decisions_are_applied_and_a_corrected_answer_is_judged_again(reviewed, tmp_path):
    choices = [{"id": "r0", "choice": "drop"}, {"id": "r1", "choice": "keep"}]
    choices.append({"id": "r2", "choice": "correct", "gold": "5"})
    step = Review(decisions=decided(tmp_path, *choices), unreviewed="drop")
    reviewed.decided = step.decided(reviewed.source)
    selection = step.select(reviewed)
    assert dict(selection.removed)[0] == "was dropped in the review"
    assert selection.rows_N.tolist() == [1, 2, 5, 6, 7, 8, 9]
    reviewed.apply(selection)
    assert reviewed.problem(2).answer == "5"
    assert reviewed.numbers("difficulty").tolist() == [1, 0.25, 0, 0, 0, 0, 0]
    assert reviewed.numbers("correct_length")[1] == 9
    assert (reviewed.value("other_answer", 2), reviewed.value("other_count", 2)) == ("6", 1)
    assert [row for row, _ in selection.review] == [4, 7, 3]


@holds_for(
    ("choice", "told"),
    [
        ({"id": "nonesuch", "choice": "keep"}, r"1 of its rows are not in the input \('nonesuch'\)"),
        ({"id": "r2", "choice": "correct", "gold": "many"}, "row 'r2'.*many"),
    ],
)
def test_decisions_on_nothing_are_refused(choice, told, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    shown = table(folder, laddered.rows(folder / "ten", 3), other_count=[0] * 3)
    with pytest.raises(RefusedError, match=f"Review.decisions is .*{told}"):
        Review(decisions=decided(folder, choice)).decided(shown.source)


# No row goes by luck


OPTIONS = ("dot", "star", "line", "ring")
CHOICE = Problem("c", 0, (Turn("user", "Which? A. dot B. star C. line D. ring"),), "B", "choice", (), OPTIONS)


def test_options_are_turned_with_the_gold_answer():
    texts = {shift: turned(CHOICE, shift) for shift in range(4)}
    for problem in texts.values():
        assert problem.options[ord(problem.answer) - ord("A")] == "star"
    assert {problem.answer for problem in texts.values()} == set("ABCD")
    assert texts[2].question == "Which? A. line B. ring C. dot D. star"
    assert turned(replace(CHOICE, turns=(Turn("user", "Which of the four?"),)), 1) is None


@holds_for(
    ("kind", "options", "question", "rate"),
    [
        ("choice", OPTIONS, "", 0.25),
        ("choice", (), "A. dot B. star C. line", 1 / 3),
        ("choice", (), "Which?", 0.25),
        ("multi_select", OPTIONS, "", 1 / 15),
        ("yes_no", (), "", 0.5),
        ("integer", (), "", 0.1),
    ],
)
def test_the_chance_of_a_guess_is_that_of_its_kind_of_answer(kind, options, question, rate):
    problem = Problem("p", 0, (Turn("user", question),), "", kind, (), options)
    assert chance(problem, 0.1) == pytest.approx(rate)


class Guesser:
    """Answers with the letter that it likes, or as it is told."""

    def __init__(self, right):
        self.right = right
        self.asked = []

    def faults(self, problems, ask, model=None):
        return ["too long" if problem.id == "long" else "" for problem in problems]

    def ask(self, problems, ask, model=None):
        self.asked += [(problem, ask.responses) for problem in problems]
        return [
            [self.response(self.right(problem, place)) for place in range(ask.responses)]
            for problem in problems
        ]

    @staticmethod
    def response(right):
        completion = Completion((1,), (0.0,), "", "stop", 0)
        return completion, Score(Verdict.CORRECT if right else Verdict.WRONG, "", "x", True)


STEP = SimpleQuestions()


def judged(folder, problems, right):
    values = STEP.measure(problems, Guesser(right))
    form = laddered.rows(folder / "rows", len(problems))
    return STEP.select(table(folder, form, **values))


def test_of_four_option_rows_that_are_guessed_few_go(tmp_path):
    luck = np.random.default_rng(0)
    problems = [replace(CHOICE, id=f"c{row}") for row in range(200)]
    selection = judged(tmp_path, problems, lambda problem, place: luck.random() < 0.25)
    assert len(selection.rows_N) >= 190, "at most 5 % are marked"


def test_a_model_that_always_says_the_same_letter_solves_nothing(tmp_path):
    problems = [replace(CHOICE, id=f"c{row}") for row in range(20)]
    assert len(judged(tmp_path, problems, lambda problem, _: problem.answer == "B").rows_N) == 20


def test_rows_that_are_solved_go_with_their_numbers(tmp_path):
    problems = [replace(CHOICE, id="solved"), replace(CHOICE, id="not"), replace(CHOICE, id="long")]
    selection = judged(tmp_path, problems, lambda problem, _: problem.id.startswith("solved"))
    assert selection.rows_N.tolist() == [1]
    gone = dict(selection.removed)
    assert gone[0] == (
        "8 of 8 answers without reasoning are right: at least 0.68 with confidence 0.95, and a guess is "
        "right in 0.25"
    )
    assert gone[2] == "cannot be asked: too long"


def test_responses_are_shared_among_the_orders_and_none_is_lost():
    guesser = Guesser(lambda *_: True)
    ask = laddered.measure(responses=6)
    from observer.ladder.asking import Ask

    found = count_right([CHOICE], guesser, Ask(ask.response_format, 6, 9, 1.0, "x"), None, 0.1, "p")
    assert sorted(count for _, count in guesser.asked) == [1, 1, 2, 2]
    assert len({problem.id for problem, _ in guesser.asked}) == 4
    assert (found["p_correct"], found["p_responses"], found["p_turned"]) == ([6], [6], [4])


def test_rows_without_a_picture_are_not_asked_and_stay(tmp_path):
    form = Jsonl(str(laddered.rows(tmp_path / "rows", 3).path), keep_checked=False)
    shown_rows = list(form.read())
    problems = [replace(shown_rows[0], pictures=(), turns=(Turn("user", "?"),)), *shown_rows[1:]]
    guesser = Guesser(lambda problem, _: "in 1" in problem.question)
    step = NoPicture()
    values = step.measure(problems, guesser)
    assert values["no_picture_responses"] == [0, 8, 8]
    assert all("<image>" not in problem.question and not problem.pictures for problem, _ in guesser.asked)
    assert step.select(table(tmp_path, form, **values)).rows_N.tolist() == [0, 2]
    assert without_pictures(problems[1]).id != problems[1].id


def test_of_two_models_the_better_one_counts_with_a_wider_interval(tmp_path):
    from observer.ladder import AskedModel

    step = SimpleQuestions(models=(AskedModel("one"), AskedModel("two")))

    class Two(Guesser):
        def ask(self, problems, ask, model=None):
            self.right = lambda problem, place: place < {"one": 2, "two": 5}[model.path]
            return super().ask(problems, ask, model)

    open_row = replace(CHOICE, kind="integer", options=(), answer="3")
    values = step.measure([open_row], Two(None))
    assert (values["simple_correct"], values["simple_by"]) == ([5], [1])
    assert (
        above_chance(
            table(tmp_path, laddered.rows(tmp_path / "rows", 1), **values), "simple", 0.975, lambda *_: ""
        ).rows_N.tolist()
        == []
    )
