import ast
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

import observer.rewards
import observer.verifier
import stand_in
from observer.rewards import Accuracy, Bonus, Format, Free, Observe, Reward, Rubric, Think
from observer.types import Completion, Group, Picture, Problem, Prompt, RefusedError, Sampling, Turn, Verdict
from observer.verifier import Limits, Verifier
from observer.verifier import verifier as verifier_module

REWARDS = {"accuracy": Accuracy(), "format": Format(), "bonus": Bonus()}
QUOTING = "Write <think>so</think><answer>7</answer>, or assistant\n\\boxed{7}"


@pytest.fixture
def isolated(monkeypatch):
    """A verifier with half a second for an expression, whose checker does what the prediction says."""
    monkeypatch.setattr(verifier_module, "PROGRAM", stand_in.PROGRAM)
    verifier = Verifier(Limits(workers=2, seconds=0.5))
    yield verifier
    verifier.close()


class Counting(Verifier):
    """Keeps the sizes of the batches that it is given."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def verify_all(self, questions):
        self.batches.append(len(questions))
        return super().verify_all(questions)


def group_of(*answers, gold="7", kind="integer", question="How many?", wrap=True):
    """A group of formatted responses with these answers, or of the bare texts."""
    texts = [f"<think>so</think><answer>{answer}</answer>" if wrap else answer for answer in answers]
    completions = tuple(
        Completion((5,) * (9 + index), (-0.5,) * (9 + index), text, "stop", index)
        for index, text in enumerate(texts)
    )
    problem = Problem(f"{kind}-{gold}", 0, (Turn("user", question),), gold, kind)
    return Group(Prompt(problem, (1, 2)), completions, Sampling(group_size=len(completions)))


def verdicts(rows):
    return [[str(score.verdict) for score in row] for row in rows]


# Rewards of a user


class Plain(Reward):
    """With a constructor of its own, and no weight."""

    def __init__(self, **given):
        self.__dict__.update(given)

    def __call__(self, group, scores, step):
        return [0.0] * len(scores)


@dataclass(frozen=True)
class Weightless(Reward):
    """A dataclass whose author forgot the weight."""

    size: int = 1

    def __call__(self, group, scores, step):
        return [0.0] * len(scores)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Plain, "Plain: it has no weight; make it a frozen dataclass with a field 'weight: float = 1.0'"),
        (Weightless, "Weightless: it has no weight; make it a frozen dataclass"),
        (lambda: Plain(weight="1"), "Plain: weight is '1'; give a finite number"),
    ],
)
def test_a_reward_without_a_weight_is_refused_with_what_to_write(make, said):
    with pytest.raises(RefusedError, match=re.escape(said)):
        Rubric({"own": make()}, Think())


# One batch


def test_the_answers_of_all_groups_are_verified_in_one_batch():
    verifier = Counting()
    groups = [group_of("7", "8"), group_of("B", "C", "B", gold="B", kind="choice"), group_of()]
    scores = Rubric(REWARDS, Think(), verifier).score_all(groups, step=2)
    assert verifier.batches == [5]
    assert verdicts(scores) == [["correct", "wrong"], ["correct", "wrong", "correct"], []]


def test_scores_do_not_depend_on_which_groups_are_scored_together():
    rubric = Rubric(REWARDS, Think())
    groups = [
        group_of("7", "8", "7"),
        group_of("8", "7", gold="8"),
        group_of("7", "red", gold="red"),
        group_of("", "7"),
    ]
    apart = [rubric.score(group, step=3) for group in groups]
    assert rubric.score_all(groups, step=3) == apart
    assert rubric.score_all(groups[::-1], step=3) == apart[::-1]
    assert rubric.score_all([], step=3) == []


def test_rubrics_are_equal_whatever_process_verifies_for_them():
    assert Rubric(REWARDS, Think()) == Rubric(REWARDS, Think(), Verifier(Limits(workers=1)))
    assert "Verifier" not in repr(Rubric(REWARDS, Think()))


# What cannot be checked


def test_an_answer_that_is_not_checked_in_time_earns_nothing_and_the_others_what_is_theirs(isolated):
    answers = group_of("42", "sleep 60", "43", "42 too", gold="42", kind="expression")
    numbers = group_of("7", "8")
    scores = Rubric(REWARDS, Think(), isolated).score_all([answers, numbers], step=0)
    assert verdicts(scores) == [["correct", "unverifiable", "wrong", "correct"], ["correct", "wrong"]]
    slow = scores[0][1]
    assert slow.timed_out
    assert slow.reason == "timed out after 0.5 s"
    late = [[score.timed_out for score in row] for row in scores]
    assert late == [[False, True, False, False], [False, False]]
    assert (slow.components["accuracy"], slow.components["format"], slow.reward, slow.extracted) == (
        0.0,
        1.0,
        0.5,
        "sleep 60",
    )


# What counts as the response


@pytest.mark.parametrize(
    "response_format", [Observe(), Think(), Free(), Think(lenient=("tag", "box", "line"))]
)
def test_the_response_is_the_completion_alone_whatever_the_prompt_quotes(response_format):
    texts = ("8", "", "<think>so</think><answer>8</answer>")
    with_quote = group_of(*texts, question=QUOTING, wrap=False)
    without = group_of(*texts, wrap=False)
    rubric = Rubric(REWARDS, response_format)
    assert rubric.score(with_quote, step=0) == rubric.score(without, step=0)
    assert not any(score.correct for score in rubric.score(with_quote, step=0))


def test_scoring_looks_at_no_picture():
    def refuse():
        raise AssertionError("the picture was decoded")

    group = group_of("7")
    picture = Picture("<answer>8</answer>", refuse, refuse)
    problem = Problem("a", 0, (Turn("user", "<image>"),), "7", "integer", pictures=(picture,))
    (score,) = Rubric(REWARDS, Think()).score(
        Group(Prompt(problem, (1,)), group.completions, Sampling()), step=0
    )
    assert score.verdict is Verdict.CORRECT


# Time limits


def test_answers_are_checked_and_timed_out_off_the_main_thread(isolated):
    found = []
    groups = [group_of("42", "sleep 60", "43", gold="42", kind="expression"), group_of("7", "8")]
    rubric = Rubric(REWARDS, Think(), isolated)
    thread = threading.Thread(target=lambda: found.extend(verdicts(rubric.score_all(groups, step=0))))
    thread.start()
    thread.join()
    assert found == [["correct", "unverifiable", "wrong"], ["correct", "wrong"]]


def test_no_time_limit_rests_on_an_alarm():
    folders = [Path(room.__file__).parent for room in (observer.verifier, observer.rewards)]
    names = {
        getattr(node, "attr", getattr(node, "id", ""))
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    }
    assert "RLIMIT_AS" in names
    assert names.isdisjoint({"alarm", "setitimer", "SIGALRM"})
