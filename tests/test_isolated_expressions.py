"""The real checker of expressions in its processes, and answers that have hung verifiers."""

import time

import pytest

from bombs import BOMBS
from growth import no_hang
from isolating import RIGHT, UNVERIFIABLE, WRONG, verdicts
from observer.verifier.verifier import Limits, Question, Verifier
from observer.verifier.verify import ISOLATED, KINDS


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused_by_kinds_that_are_not_isolated(name):
    bomb = BOMBS[name]
    kinds = [kind for kind in KINDS if kind not in ISOLATED]
    asked = [Question(kind, *pair) for kind in kinds for pair in (("8", bomb), (bomb, "8"))]
    with no_hang():  # milliseconds
        results = Verifier().verify_all(asked)
    assert RIGHT not in verdicts(results)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused_within_a_second_by_kinds_that_are_not_isolated(name):
    bomb = BOMBS[name]
    kinds = [kind for kind in KINDS if kind not in ISOLATED]
    start = time.thread_time()
    Verifier().verify_all([Question(kind, *pair) for kind in kinds for pair in (("8", bomb), (bomb, "8"))])
    assert time.thread_time() - start < 1


@pytest.fixture(scope="module")
def real():
    one = Verifier(Limits(workers=8, seconds=1, memory_mb=1024))
    one.verify_all([Question("expression", "7", "7")])
    yield one
    one.close()


def test_expressions_are_checked(real):
    asked = [Question("expression", r"\frac{1}{2}+x", prediction) for prediction in ("x+0.5", "x-0.5", None)]
    assert verdicts(real.verify_all(asked)) == [RIGHT, WRONG, WRONG]


def hanging_among_64():
    return [
        Question("expression", "x^2+1", f"(a+b+c+d+e+f)^{{{60 + i}}}" if i % 8 == 0 else f"x^2+{i}")
        for i in range(64)
    ]


def test_eight_expressions_that_hang_among_64_are_timed_out_and_nothing_else_is(real):
    results = real.verify_all(hanging_among_64())
    assert verdicts(results) == [UNVERIFIABLE if i % 8 == 0 else (WRONG, RIGHT)[i == 1] for i in range(64)]
    assert [result.timed_out for result in results] == [i % 8 == 0 for i in range(64)]


@pytest.mark.slow
def test_every_bomb_as_an_expression_is_right_for_nobody_and_none_hangs(real):
    asked = [Question("expression", *pair) for bomb in BOMBS.values() for pair in (("8", bomb), (bomb, "8"))]
    assert RIGHT not in verdicts(real.verify_all(asked))
    assert verdicts(real.verify_all([Question("expression", "x/2", "0.5x")])) == [RIGHT]
