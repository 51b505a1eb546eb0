"""The quality of a chain of thought, by rules: is it whole, does it repeat itself, does the answer follow?

Pure functions of responses and their scores, read by training, by evaluation and by grids. None is a reward:
nothing is trained on them.

Reference: none, our own, without a judge. That the answer stops to follow from the reasoning while accuracy
still grows is known of GRPO on pictures: GRPO-CARE, arXiv 2506.16141.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch

from observer.rewards import ObservationFidelity
from observer.rewards.blocks import find_blocks
from observer.rewards.extraction import last_boxed, last_line
from observer.types import Completion, Group, Problem, Score, Verdict
from observer.verifier import Question, Verifier

BLOCKS = ("observe", "think", "answer")
FACTS = ("facts", "pips", "digits")
"""Metadata that hold the facts of a picture, as a list: of users' rows, of tiles and of handwriting."""
MAX_RESULT = 200
"""Characters of a result that is compared: a longer one is none."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_VALUE = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_WORD = re.compile(r"[^\W\d_]{4,}")
_LETTERS = re.compile(r"(?<![\w'])[A-J](?![\w'])(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)[A-J](?![\w']))*")
_STATED = ObservationFidelity(count_surplus=True)


class Chain(NamedTuple):
    """What is found of one response. None where it does not apply."""

    well_formed: float
    """Whether it ended by itself and has the three blocks, each once, not blank and in order: 1 or 0."""
    repeated: float
    """Share of its 4-grams of tokens that stood in it before."""
    reused: float | None
    """Share of the facts of ``<observe>`` that ``<think>`` goes on with; see ``reused``."""
    follows: float | None
    """Whether the last result of ``<think>`` is the answer: 1 or 0. It may be wrong all the same."""
    true_facts: float | None
    """Share of the picture's known facts that ``<observe>`` states, what it makes up counted against it."""


CHAINS = Chain._fields
"""The names of the figures."""


def chains(
    groups: Sequence[Group], scores: Sequence[Sequence[Score]], verifier: Verifier
) -> list[list[Chain]]:
    """Return what is found of each completion of groups, in their order.

    Args:
        groups: prompts with their completions.
        scores: of each completion; its answer is read from here.
        verifier: says whether the last result of the reasoning equals the answer, as it judges answers.
    """
    found: dict[tuple[int, tuple[int, ...], str], Chain] = {}
    asked: dict[tuple[int, tuple[int, ...], str], Question] = {}
    keys = []
    for place, (group, row) in enumerate(zip(groups, scores, strict=True)):
        true_facts = _true_facts(group.problem)
        keys.append([(place, completion.ids, completion.text) for completion in group.completions])
        for key, completion, score in zip(keys[-1], group.completions, row, strict=True):
            if key not in found:  # groups hold the same response several times
                found[key], question = _found(group.problem, completion, score.extracted, true_facts)
                if question is not None:
                    asked[key] = question
    for key, result in zip(asked, verifier.verify_all(list(asked.values())), strict=True):
        found[key] = found[key]._replace(follows=float(result.verdict is Verdict.CORRECT))
    return [[found[key] for key in row] for row in keys]


def _found(
    problem: Problem, completion: Completion, answer: str | None, true_facts: Callable[[str], float | None]
) -> tuple[Chain, Question | None]:
    """Return all that needs no verifier, and what it is to be asked."""
    blocks = find_blocks(completion.text, BLOCKS)
    observe, think = (blocks[name].text if name in blocks else None for name in BLOCKS[:2])
    ordered = len(blocks) == 3 and blocks["observe"].end <= blocks["think"].start < blocks["answer"].start
    question = follows = None
    if think is not None and answer is not None:
        result = last_result(think, problem.kind, answer)
        follows = float(result == answer)
        if result is not None and result != answer:
            question = Question(problem.kind, result, answer, problem.options)
    chain = Chain(
        well_formed=float(ordered and completion.finished),
        repeated=repeated(completion.ids),
        reused=None if observe is None or think is None else reused(observe, think),
        follows=follows,
        true_facts=None if observe is None else true_facts(observe),
    )
    return chain, question


def repeated(ids: Sequence[int]) -> float:
    """Return the share of the 4-grams of a response that stood in it before.

    >>> repeated([7] * 8), repeated([1, 2, 3, 4, 5])
    (0.8, 0.0)
    """
    count = len(ids) - 3
    return 1 - len(set(zip(ids, ids[1:], ids[2:], ids[3:], strict=False))) / count if count > 0 else 0.0


def _true_facts(problem: Problem) -> Callable[[str], float | None]:
    """Return the function of an observation that gives the share of true facts; each is read once."""
    facts = facts_of(problem)
    return cache(lambda observe: _STATED.share(observe, facts) if facts else None)


def facts_of(problem: Problem) -> list[str | float]:
    """Return the known facts of a problem's picture; none where its row has no list of them."""
    for name in FACTS:
        facts = problem.metadata.get(name)
        if isinstance(facts, list | tuple) and all(map(_is_fact, facts)):
            return list(facts)
    return []


def _is_fact(fact: object) -> bool:
    if isinstance(fact, str):
        return bool(fact.strip())
    return isinstance(fact, int | float) and not isinstance(fact, bool) and math.isfinite(fact)


def reused(observe: str, think: str) -> float | None:
    """Return the share of what is observed that the reasoning goes on with.

    Facts are the numbers of an observation, each as often as it stands there; where it has none, its words of
    four letters and more. None where it has neither.

    >>> reused("4 5", "4 + 6 = 10"), reused("a green square", "It is Square."), reused("?", "4")
    (0.5, 0.5, None)
    """
    if numbers := Counter(_NUMBER.findall(observe)):
        return (numbers & Counter(_NUMBER.findall(think))).total() / numbers.total()
    if words := set(_WORD.findall(observe.casefold())):
        return len(words & set(_WORD.findall(think.casefold()))) / len(words)
    return None


def last_result(think: str, kind: str, answer: str = "") -> str | None:
    r"""Return the last result of a reasoning; None where there is none.

    Of choices the last letters of options. Else what is in the last box, or after the last ``=``: a number
    where one is wanted and stands there. Without either the last number, or of other kinds the answer itself
    where it stands word for word in the last line.

    Args:
        think: the text of the block.
        kind: of the answer.
        answer: that was given.

    >>> last_result("4 + 5 = 9 + 2 = 11", "integer"), last_result("3 rows of 2, so 6.", "integer")
    ('11', '6')
    >>> last_result("2 + 5 = 7 tiles in 2 rows", "integer"), last_result(r"x = \frac{1}{4}.", "number")
    ('7', '\\frac{1}{4}')
    >>> last_result("A is red, so B and D", "multi_select"), last_result("the ball\nis red", "text", "Red")
    ('B and D', 'Red')
    """
    if kind in ("choice", "multi_select"):
        letters = _LETTERS.findall(think)
        return letters[-1] if letters else None
    numeric = kind in ("integer", "number")
    result = last_boxed(think)
    if result is None and "=" in think:
        result = think.rpartition("=")[2].strip().partition("\n")[0].strip(" .$")
        if numeric and (value := _VALUE.match(result)):
            result = value[0]
    if result is None and numeric:
        values = _VALUE.findall(think)
        result = values[-1] if values else None
    if result is None and re.search(
        rf"(?<!\w){re.escape(answer.casefold())}(?!\w)", last_line(think).casefold()
    ):
        result = answer
    return result.rstrip(",") if result and len(result) <= MAX_RESULT else None


def chain_values(
    groups: Sequence[Group], scores: Sequence[Sequence[Score]], verifier: Verifier
) -> torch.Tensor:
    """Return the figures of each completion, (N, K), float64; nan where one does not apply.

    The last two of K are its tokens and whether it is right.
    """
    rows = [
        (*chain, len(completion.ids), score.correct)
        for group, own, found in zip(groups, scores, chains(groups, scores, verifier), strict=True)
        for completion, score, chain in zip(group.completions, own, found, strict=True)
    ]
    values = [[math.nan if value is None else float(value) for value in row] for row in rows]
    return torch.tensor(values, dtype=torch.float64)


def chain_figures(values_N_K: torch.Tensor) -> dict[str, float]:
    """Return the means over the completions that each figure applies to, and the tokens per right completion.

    A figure that applies to none is left out.

    Args:
        values_N_K: of ``chain_values``, of all ranks.
    """
    figures = dict(zip(CHAINS, values_N_K.nanmean(0).tolist(), strict=False))
    tokens, right = values_N_K[:, -2:].sum(0).tolist()
    figures["tokens_per_correct"] = tokens / right if right else math.nan
    return {name: value for name, value in figures.items() if not math.isnan(value)}
