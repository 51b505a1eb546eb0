"""The options of the learner that scoring reads, without the learner: importing Lightning takes seconds.

A test holds that they are those of ``ObserveLearner``.
"""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

from observer.answering import DEFAULT_REWARDS
from observer.objective import Advantage, Combine, GroupMeanStd, Quadratic, Weighting
from observer.rewards import Observe, ResponseFormat, Reward
from observer.verifier import Limits


class ScoringOptions:
    """How responses are rewarded, compared and weighed: options of ``ObserveLearner``, with its defaults.

    Args:
        response_format: what a response must look like; also gives the system prompt.
        rewards: name -> reward; the names are those of the components in logs.
        verifier: limits of checks in processes of their own; beyond them an answer is unverifiable.
        advantage: how much better a completion is than its group.
        combine: whether rewards are added up before they are normalised or after (GDPO), each alone.
        weighting: the weight of each group in the update, mostly by its difficulty.
        advantage_clip: advantages are clipped to plus or minus this; null for no limit.
    """

    def __init__(
        self,
        response_format: ResponseFormat = Observe(),
        rewards: dict[str, Reward] = DEFAULT_REWARDS,
        verifier: Limits = Limits(),
        advantage: Advantage = GroupMeanStd(),
        combine: Combine = "sum_then_normalise",
        weighting: Weighting = Quadratic(),
        advantage_clip: float | None = None,
    ) -> None:
        """Only read as a signature."""


OPTIONS = frozenset(inspect.signature(ScoringOptions).parameters)
"""Options of the learner that scoring reads."""


def learner_options(learner: type | None, own: type, needed: frozenset[str]) -> tuple[type, set[str]]:
    """Return the class whose signature has the options that a command reads, and the learner's other options.

    Args:
        learner: the class that ``model`` configures; None for ``ObserveLearner``, which also takes the place
            of one that is no such.
        own: stands for ``ObserveLearner``, which takes seconds to import.
        needed: names of the options that the command reads.
    """
    if learner is not None:
        from observer.learner import ObserveLearner

        if issubclass(learner, ObserveLearner):
            bases = [base for base in learner.__mro__ if issubclass(base, ObserveLearner)]
            return learner, set().union(*map(_names, bases)) - needed
    return own, names_of_the_default_learner() - needed


def _names(learner: type) -> set[str]:
    """Return the names of the options in a learner's own signature."""
    return {
        name
        for name, parameter in inspect.signature(learner.__init__).parameters.items()  # type: ignore[misc]
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def names_of_the_default_learner() -> set[str]:
    """Return the names of all options of ``ObserveLearner``, as its file has them."""
    spec = find_spec("observer.learner.observe")
    assert spec is not None
    assert spec.origin is not None
    [arguments] = [
        method.args
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "ObserveLearner"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
    ]
    return {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)} - {"self"}
