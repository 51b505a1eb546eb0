"""What tests of rewards share: groups of given texts, and scores of given verdicts."""

from observer.types import Completion, Group, Problem, Prompt, Sampling, Score, Turn

LIMIT = 40
"""Tokens of a completion that is cut."""


def group_of(texts, ids=None, metadata=None, answer="7", pictures=(), patches=(), limit=LIMIT):
    """A group of these texts; a completion of LIMIT tokens is cut."""
    ids = ids or [tuple(range(len(text))) for text in texts]
    problem = Problem("p", 0, (Turn("user", "?"),), answer, "text", pictures, metadata=metadata or {})
    completions = tuple(
        Completion(tuple(row), (-1.0,) * len(row), text, "length" if len(row) == limit else "stop", place)
        for place, (text, row) in enumerate(zip(texts, ids, strict=True))
    )
    return Group(Prompt(problem, (1,), patches), completions, Sampling(len(texts), max_tokens=limit))


def scores_of(verdicts, formatted=True, extracted=None):
    return [Score(verdict, "why", extracted, formatted) for verdict in verdicts]
