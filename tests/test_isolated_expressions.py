"""The real checker of expressions in its processes, and answers that have hung verifiers."""

import time

import pytest

from bombs import BOMBS
from growth import no_hang
from isolating import RIGHT, UNVERIFIABLE, WRONG, verdicts
from observer.verifier.verifier import Limits, Question, Verifier
from observer.verifier.verify import ISOLATED, KINDS
from processes import HUNG
from tables import holds_for


@holds_for("name", BOMBS)
def test_a_bomb_is_defused_by_kinds_that_are_not_isolated(name):
    bomb = BOMBS[name]
    kinds = [kind for kind in KINDS if kind not in ISOLATED]
    asked = [Question(kind, *pair) for kind in kinds for pair in (("8", bomb), (bomb, "8"))]
    with no_hang():  # milliseconds
        results = Verifier().verify_all(asked)
    assert RIGHT not in verdicts(results)


@pytest.mark.slow
@holds_for("name", BOMBS)
def test_a_bomb_is_defused_within_a_second_by_kinds_that_are_not_isolated(name):
    bomb = BOMBS[name]
    kinds = [kind for kind in KINDS if kind not in ISOLATED]
    start = time.thread_time()
    Verifier().verify_all([Question(kind, *pair) for kind in kinds for pair in (("8", bomb), (bomb, "8"))])
    assert time.thread_time() - start < 1


@pytest.fixture
def real():
    """Factory of verifiers with the real checkers."""
    made = []

    def make(**limits):
        made.append(Verifier(Limits(memory_mb=1024, **limits)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_expressions_are_checked(real):
    asked = [Question("expression", r"\frac{1}{2}+x", prediction) for prediction in ("x+0.5", "x-0.5", None)]
    assert verdicts(real(workers=1, seconds=HUNG).verify_all(asked)) == [RIGHT, WRONG, WRONG]


def hanging(power=60):
    return Question("expression", "x^2+1", rf"\int (a+b+c+d+e+f)^{{{power}}} dx")


@pytest.mark.whole
def test_an_expression_that_hangs_is_timed_out(real):
    (result,) = real(workers=1, seconds=1).verify_all([hanging()])
    assert (result.verdict, result.timed_out) == (UNVERIFIABLE, True)


@pytest.mark.slow
def test_eight_expressions_that_hang_among_64_are_timed_out_and_nothing_else_is(real):
    asked = [
        hanging(60 + i) if i % 8 == 0 else Question("expression", "x^2+1", f"x^2+{i}") for i in range(64)
    ]
    results = real(workers=8, seconds=30).verify_all(asked)  # so long that a busy machine does the others
    assert verdicts(results) == [UNVERIFIABLE if i % 8 == 0 else (WRONG, RIGHT)[i == 1] for i in range(64)]
    assert [result.timed_out for result in results] == [i % 8 == 0 for i in range(64)]


@pytest.mark.slow
def test_every_bomb_as_an_expression_is_right_for_nobody_and_none_hangs(real):
    asked = [Question("expression", *pair) for bomb in BOMBS.values() for pair in (("8", bomb), (bomb, "8"))]
    one = real(workers=8, seconds=1)
    assert RIGHT not in verdicts(one.verify_all(asked))
    assert verdicts(one.verify_all([Question("expression", "x/2", "0.5x")])) == [RIGHT]
