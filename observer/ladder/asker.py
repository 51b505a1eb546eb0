"""Asks models for a step: opens each when it is first needed, and closes them when the step is done."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from observer.data.checks.admission import faults_of_golds
from observer.ladder.asked import AskedModel
from observer.ladder.asking import Ask, Asker, Responses
from observer.rewards import Accuracy, ResponseFormat
from observer.seeding import stable_seed
from observer.types import Problem, RefusedError, Sampling
from observer.verifier import Question, Verifier
from observer.verifier.verify import ISOLATED

if TYPE_CHECKING:
    from observer.answering import Answerer


class ModelAsker(Asker):
    """Answers problems with one or several models, which are loaded when they are first asked.

    What is drawn depends on the seed, the problem's id and the place in its group alone.

    Args:
        model: the model of a step that names none.
        seed: of the build.
    """

    def __init__(self, model: AskedModel, seed: int) -> None:
        self.model = model
        self._seed = seed
        self._open: dict[tuple[int, ResponseFormat], Answerer] = {}
        self._verifier = Verifier()  # starts nothing before it is used
        self.tokens = 0

    def faults(self, problems: Sequence[Problem], ask: Ask, model: AskedModel | None = None) -> list[str]:
        """Return why each problem cannot be asked; see ``Asker``."""
        answerer = self._answerer(model or self.model, ask)
        found = []
        for problem in problems:
            try:
                answerer.renderer.check(problem)
                found.append("")
            except RefusedError as error:
                found.append(str(error))
        return found

    def ask(self, problems: Sequence[Problem], ask: Ask, model: AskedModel | None = None) -> list[Responses]:
        """Return the scored responses to each problem; see ``Asker``."""
        answerer = self._answerer(model or self.model, ask)
        sampling = Sampling(
            group_size=ask.responses,
            max_tokens=ask.max_tokens,
            temperature=ask.temperature,
            seed=stable_seed(self._seed, "ladder", ask.name),
        )
        if not problems:
            return []
        [scored] = answerer.answer(list(map(_readable, problems)), sampling)
        self.tokens += sum(group.tokens for group in scored.groups)
        return [
            list(zip(group.completions, scores, strict=True))
            for group, scores in zip(scored.groups, scored.scores, strict=True)
        ]

    def gold_faults(self, problems: Sequence[Problem]) -> list[str]:
        """Return why no rule can check each gold answer; see ``Asker``."""
        golds = [Question(p.kind, p.answer, p.answer, p.options) for p in problems]
        risky = [gold for gold in golds if gold.kind in ISOLATED]
        faults = faults_of_golds(list(dict.fromkeys(risky)), self._verifier)
        return [faults[gold].reason if gold in faults else "" for gold in golds]

    def _answerer(self, model: AskedModel, ask: Ask) -> Answerer:
        key = (id(model), ask.response_format)
        if key not in self._open:
            self._open[key] = opened(model, ask.response_format, ask.max_tokens)
        return self._open[key]

    def close(self) -> None:
        """Release all models."""
        for answerer in self._open.values():
            answerer.close()
        self._open.clear()
        self._verifier.close()


def opened(model: AskedModel, response_format: ResponseFormat, max_tokens: int) -> Answerer:
    """Load a model that answers problems; whoever asks for it closes it.

    Args:
        model: which, and with which engine.
        response_format: what a response must look like; also gives the system prompt.
        max_tokens: of a response, at most.

    Raises:
        RefusedError: the processor or the weights cannot be loaded.
        EngineError: the engine failed.
    """
    import torch

    from observer.answering import Answerer  # brings the code of models, which takes seconds
    from observer.policy import PolicySpec

    spec = PolicySpec(model.path, dtype=model.dtype, min_pixels=model.min_pixels, max_pixels=model.max_pixels)
    answerer = Answerer.of(
        spec,
        response_format,
        {"accuracy": Accuracy()},
        engine=copy.deepcopy(model.engine),
        max_prompt_tokens=model.max_prompt_tokens,
    )
    device = model.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    answerer.start(spec, device=device, max_tokens=max_tokens)
    return answerer


def _readable(problem: Problem) -> Problem:
    """Return a problem that can be scored: an answer of no kind, which is to be corrected, is a text."""
    return problem if problem.kind else replace(problem, kind="text")
