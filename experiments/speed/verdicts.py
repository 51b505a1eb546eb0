"""How long the verdicts on a rollout's 1,024 formulas take, against math-verify alone, in one run.

128 golds of the forms of MATH-Vision and MATH (roots, multiples of pi, fractions, lines, powers), 8 answers
to each: itself, written in other ways, and near misses. Both judge the same answers: ``Verifier`` with 2
processes, started before the clock runs; math-verify in this process, each answer parsed and compared, as
this package did before it read formulas itself. Prints wall seconds, milliseconds per answer, and on how many
verdicts they differ.

Run: python experiments/speed/verdicts.py
"""

from __future__ import annotations

import random
import statistics
import time

from observer.types import Verdict
from observer.verifier.kinds.symbolic import same_symbolic
from observer.verifier.verifier import Limits, Question, Verifier

FORMS = (
    (r"{a}\sqrt{{{b}}}", (r"\sqrt{{{b}}}\cdot {a}", "{a}√{b}", r"{a}\sqrt{{{c}}}")),
    (r"\frac{{{a}\pi}}{{{b}}}", ("{a}π/{b}", r"\frac{{{a}}}{{{b}}}\pi", r"\frac{{{a}\pi}}{{{c}}}")),
    (r"{a}+{b}\sqrt{{{c}}}", (r"{b}\sqrt{{{c}}}+{a}", "{a}+{b}√{c}", r"{a}-{b}\sqrt{{{c}}}")),
    (r"{a}\pi-{b}\sqrt{{3}}", (r"-{b}\sqrt{{3}}+{a}\pi", "{a}π-{b}√3", r"{a}\pi-{c}\sqrt{{3}}")),
    (
        r"\frac{{{a}^{{100}}-1}}{{{a}^{{101}}}}",
        (r"\frac{{1}}{{{a}}}-{a}^{{-101}}",) * 2 + (r"\frac{{1}}{{{a}}}",),
    ),
    ("y={a}x+{b}", ("{a}x+{b}", "y-{b}={a}x", "y={a}x-{b}")),
    ("x^2-{a}x+{b}", ("{b}+x^2-{a}x", "x(x-{a})+{b}", "x^2-{a}x-{b}")),
    (r"\frac{{x+{a}}}{{x-{b}}}", (r"(x+{a})(x-{b})^{{-1}}", "(x+{a})/(x-{b})", r"\frac{{x-{b}}}{{x+{a}}}")),
)


def questions() -> list[Question]:
    """Return 1,024 questions, each gold with 8 answers."""
    rng = random.Random(0)
    asked = []
    for place in range(128):
        gold, others = FORMS[place % len(FORMS)]
        values = dict(zip("abc", (str(value) for value in rng.sample(range(2, 90), 3)), strict=True))
        written = [gold.format(**values), *(other.format(**values) for other in others)]
        extra = [f"{written[0]}+1", f"2({written[0]})", rf"\boxed{{{written[0]}}}", f"{written[1]} + 0"]
        asked += [Question("expression", written[0], answer) for answer in (*written, *extra)]
    return asked


def main() -> None:
    """Judge the answers both ways and print the table."""
    asked = questions()
    verifier = Verifier(Limits(workers=2))
    verifier.verify_all([Question("expression", "x", "x")])
    start = time.perf_counter()
    ours = verifier.verify_all(asked)
    seconds = time.perf_counter() - start
    verifier.close()
    same_symbolic("x", "x")  # its import is not counted
    took, theirs = [], []
    for question in asked:
        start = time.perf_counter()
        theirs.append(same_symbolic(question.gold, question.prediction or ""))
        took.append(time.perf_counter() - start)
    differ = sum((a.verdict is Verdict.CORRECT) != bool(b) for a, b in zip(ours, theirs, strict=True))
    print(f"{len(asked)} answers, {len(set(asked))} of them different")
    print(f"observer, 2 processes: {seconds:.2f} s, {1000 * seconds / len(asked):.2f} ms per answer")
    print(
        f"math-verify, 1 process: {sum(took):.2f} s, {1000 * statistics.median(took):.1f} ms per answer in "
        f"the middle, {1000 * max(took):.0f} ms at most; {sum(took) / 2:.2f} s on 2 at best"
    )
    print(f"ratio of wall time, math-verify on 2 cores at best: {sum(took) / 2 / seconds:.1f}")
    print(f"verdicts that differ: {differ}")


if __name__ == "__main__":
    main()
