import random
import time

import pytest

from bombs import BOMBS
from observer.types import RefusedError, Verdict
from observer.verifier.verifier import Limits, Question, Verifier
from observer.verifier.verify import ISOLATED, KINDS, infer_kind

pytestmark = pytest.mark.fuzz

INPUTS = 100_000
BATCH = 1000
EXPRESSIONS = 0.2
"""Share of inputs that are checked as expressions: these take milliseconds and not microseconds."""
ANSWERS = {
    "integer": ["7", "-1,234", "$10^{6}$", "007", "1.2 × 10^{3}"],
    "number": ["3.5", "25%", r"\frac{1}{4}", "1e5", "-2 1/2", "7.0 cm", r"3\,\text{m}^2", "$5.00"],
    "choice": ["B", "(c)", "D. circle", "dot"],
    "multi_select": ["A, C", "ABD", "a and b", "(A) and (C)"],
    "yes_no": ["yes", "No.", "True", "FALSE"],
    "time": ["14:35", "2:35 pm", "noon", "7 o'clock"],
    "ratio": ["3:4", "3 to 4", "1 : 2 : 3"],
    "tuple": ["(3,4)", "(x, -1/2)", r"\left(1, \sqrt{2}\right)"],
    "interval": ["[0, 1)", r"(-\infty, 3]", r"(1,2)\cup(3,4)"],
    "set": ["{1, 2, 3}", r"\{a,b\}", r"\emptyset"],
    "list": ["1228 142.67", "1, 2 and 3", "a; b; c"],
    "expression": ["x^2+1", r"\frac{\sqrt{3}}{2}", r"2\pi r", r"\sin(2x)", "3x=6", r"\log_{2} 8", "a_{1}+b'"],
    "text": ["a red circle", "Paris", "don't know", "naïve façade"],
}  # fmt: skip
PIECES = [*"0123456789.,:;/%^_{}()[]|\\$+-*=<>!?'\"& \t\n\0\u00a0\u200b\u202e\u2212\u00d7\ud800½²é\u0301字😀"]
PIECES += [
    r"\frac",
    r"\text{",
    r"\boxed{",
    r"\sqrt{",
    r"\left(",
    r"\cup",
    r"\infty",
    "e9",
    "<answer>",
    " and ",
]


def random_bytes(rng):
    data = rng.randbytes(rng.choice((1, 3, 10, 40, 200, 2000)))
    return data.decode(rng.choice(("latin-1", "utf-16-le", "utf-8")), rng.choice(("replace", "ignore")))


def mutated(rng, text):
    """The text with up to four things inserted, cut out, doubled, exchanged or repeated."""
    for _ in range(rng.randrange(5)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 5)))
        middle = rng.choice(
            ("", rng.choice(PIECES), text[start:end] * 2, text[::-1], rng.choice(PIECES) * 50)
        )
        text = text[:start] + middle + text[end:]
    return text


def answer(rng, kind):
    roll = rng.random()
    if roll < 0.3:
        return random_bytes(rng)
    if roll < 0.31:
        return mutated(rng, rng.choice(list(BOMBS.values())))
    return mutated(rng, rng.choice(ANSWERS[kind if roll < 0.8 else rng.choice(list(ANSWERS))]))


def question(rng):
    kind = "expression" if rng.random() < EXPRESSIONS else rng.choice([k for k in KINDS if k not in ISOLATED])
    gold = answer(rng, kind) if rng.random() < 0.5 else rng.choice(ANSWERS[kind])
    prediction = gold if rng.random() < 0.2 else answer(rng, kind)
    options = tuple(answer(rng, "text") for _ in range(rng.choice((0, 0, 0, 4))))
    return Question(kind, gold, prediction, options)


def test_the_table_has_answers_of_every_kind():
    assert ANSWERS.keys() == KINDS.keys()


def test_no_answer_raises_hangs_or_differs_from_itself():
    rng = random.Random(0)
    verifier = Verifier(Limits(workers=2, seconds=2, batch_seconds=120))
    seen = dict.fromkeys(Verdict, 0)
    for _ in range(INPUTS // BATCH):
        questions = [question(rng) for _ in range(BATCH)]
        start = time.thread_time()
        verifier.verify_all([q for q in questions if q.kind not in ISOLATED])
        assert time.thread_time() - start < 10
        for asked, result in zip(questions, verifier.verify_all(questions), strict=True):
            reason = result.reason
            assert reason, asked
            assert not reason.startswith(("the check failed", "timed out: the batch")), (asked, reason)
            assert asked.gold != asked.prediction or result.verdict is not Verdict.WRONG, (asked, reason)
            seen[result.verdict] += 1
    assert min(seen.values()) > INPUTS // 20
    verifier.close()


def test_no_gold_answer_raises_anything_but_a_refusal():
    rng = random.Random(1)
    kinds = set()
    start = time.thread_time()
    for _ in range(INPUTS // 5):
        try:
            kinds.add(infer_kind(answer(rng, rng.choice(list(ANSWERS)))))
        except RefusedError as refusal:
            kinds.add(bool(str(refusal)))
    assert kinds == {*KINDS, True}
    assert time.thread_time() - start < 120
