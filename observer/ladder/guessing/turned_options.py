"""Options of a choice in another order, so that no letter is right more often than chance has it."""

from __future__ import annotations

import re
from dataclasses import replace

from observer.types import Problem, Turn
from observer.verifier.kinds.choice import read_choice
from observer.verifier.notation import clean


def turned(problem: Problem, shift: int) -> Problem | None:
    """Return a problem whose options have moved up by ``shift`` places, the first ones to the end.

    Its id says so, so that its draws are others. Its gold answer is the letter of the right option.

    Args:
        problem: a choice whose options are known.
        shift: 0 .. options - 1; 0 leaves the order.

    Returns:
        None where the options are not written out in the question, each after its letter.

    >>> asked = Problem("r", 0, (Turn("user", "Which? A. dot B. star C. line"),), "B", "choice", (),
    ...                 ("dot", "star", "line"))
    >>> other = turned(asked, 1)
    >>> other.question, other.answer, other.id
    ('Which? A. star B. line C. dot', 'A', 'r#options+1')
    """
    options = problem.options
    right = read_choice(clean(problem.answer), tuple(map(clean, options)))
    places = [place for place, turn in enumerate(problem.turns) if turn.role == "user"]
    if right is None or not places or problem.kind != "choice":
        return None
    asked = problem.turns[places[-1]]
    pieces: list[str] = []
    begin = 0
    moved = [options[(place + shift) % len(options)] for place in range(len(options))]
    for place, option in enumerate(options):
        letter = chr(ord("A") + place)
        label = re.compile(rf"(?<![A-Za-z])\(?{letter}[).:]\s*(?={re.escape(option)})")
        found = label.search(asked.text, begin)
        if found is None or not option:
            return None
        pieces += [asked.text[begin : found.end()], moved[place]]
        begin = found.end() + len(option)
    text = "".join([*pieces, asked.text[begin:]])
    turns = (*problem.turns[: places[-1]], Turn("user", text), *problem.turns[places[-1] + 1 :])
    answer = chr(ord("A") + (right.index - shift) % len(options))
    return replace(
        problem, id=f"{problem.id}#options+{shift}", turns=turns, options=tuple(moved), answer=answer
    )


def chance(problem: Problem, of_open: float) -> float:
    """Return how often a guess is right.

    Args:
        problem: with a kind of answer, and options if there are some.
        of_open: for answers that are not one of a few.

    >>> chance(Problem("r", 0, (Turn("user", "Which?"),), "B", "choice", (), ("a", "b", "c", "d")), 0.1)
    0.25
    """
    count = len(problem.options) or _options_in(problem.question)
    if problem.kind == "choice":
        return 1 / count
    if problem.kind == "multi_select":
        return 1 / float(2**count - 1)
    return 0.5 if problem.kind == "yes_no" else of_open


def _options_in(question: str) -> int:
    """Return how many options a question writes out after their letters; 4 where it writes none."""
    count = 0
    while re.search(rf"(?<![A-Za-z]){re.escape(chr(ord('A') + count))}[).:]", question) and count < 26:
        count += 1
    return count if count > 1 else 4
