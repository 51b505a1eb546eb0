"""Answers problems with an engine, a renderer and a rubric."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from observer.policy import Policy, PolicySpec, load_processor
from observer.refusal import refuse_outside, shown
from observer.rewards import Observe, ResponseFormat, Reward, Rubric
from observer.rewards.defaults import DEFAULT_REWARDS
from observer.rewards.rubric import score_groups
from observer.rollout import Engine, PromptRenderer, TransformersEngine, failing
from observer.rollout.engine import SHOWN
from observer.rollout.sampling import refuse_impossible
from observer.run.stopwatch import Stopwatch
from observer.run.waiting import Wait, waiting
from observer.types import EngineError, Group, Problem, Prompt, RefusedError, Sampling, ScoredGroups
from observer.verifier import Limits, Verifier


@dataclass(eq=False)
class Answerer:
    """Renders problems, draws completions and scores them.

    Without a learner, from a Hugging Face directory::

        answerer = Answerer.of(spec := PolicySpec("runs/mine/export"))
        answerer.start(spec)
        [scored] = answerer.answer(problems, Sampling(group_size=8, max_tokens=512))
        answerer.close()

    Args:
        engine: draws completions.
        renderer: turns problems into prompts.
        rubric: verifies and scores completions.
        clock: adds up the seconds of ``render``, ``sync``, ``generate`` and ``score``.
    """

    engine: Engine
    renderer: PromptRenderer
    rubric: Rubric
    clock: Stopwatch = field(default_factory=Stopwatch)
    started: bool = field(default=False, init=False)
    """Whether the engine has a model to sample from."""
    drawn: int = field(default=0, init=False)
    """Completion tokens that ``generate`` and ``complete`` have drawn: those of training."""

    @classmethod
    def of(
        cls,
        policy: PolicySpec,
        response_format: ResponseFormat = Observe(),
        rewards: Mapping[str, Reward] = DEFAULT_REWARDS,
        verifier: Limits = Limits(),
        engine: Engine | None = None,
        max_prompt_tokens: int = 4096,
    ) -> Answerer:
        """Build one for a model. Its processor is loaded here, its weights in ``start``.

        Args:
            policy: the model.
            response_format: what a response must look like; also gives the system prompt.
            rewards: name -> reward.
            verifier: limits of time and memory for checking answers.
            engine: draws completions; None for ``TransformersEngine()``.
            max_prompt_tokens: longer prompts are refused; they are never cut.

        Raises:
            RefusedError: the processor cannot be loaded, or there is no reward.
        """
        return cls(
            engine or TransformersEngine(),
            PromptRenderer(load_processor(policy), response_format.prompt, max_prompt_tokens),
            Rubric(rewards, response_format, Verifier(verifier)),
        )

    def start(
        self,
        spec: PolicySpec,
        policy: Policy | None = None,
        device: str | torch.device = "cpu",
        max_tokens: int | None = None,
    ) -> None:
        """Give the engine the model to sample from.

        An engine with weights of its own gets the spec alone, so that no weights are loaded twice. One that
        shares weights gets the policy, which is loaded here if there is no learner.

        Args:
            spec: the model.
            policy: the policy that is trained, whose weights ``sync`` hands over; None without a learner.
                Then the weights are those of the spec, version 0, and ``sync`` is not called.
            device: the device of a policy that is loaded here.
            max_tokens: of completions, at most, for an engine that sets room aside; None: unknown.

        Raises:
            RefusedError: the weights cannot be loaded.
            EngineError: the engine failed.
        """
        self.engine.longest = None if max_tokens is None else self.renderer.max_tokens + max_tokens
        with waiting("the engine starts", type(self.engine).__name__):
            model: Policy | PolicySpec | None = spec if self.engine.weights == "own" else policy
            if model is None:
                model = Policy(spec, self.renderer.processor).to(device).requires_grad_(False)
            with failing(self.engine, "at its start"):
                self.engine.start(model)
        if policy is None:
            self.engine.version = 0
        self.started = True

    def sync(self, policy: Policy, version: int) -> None:
        """Give the engine the policy's weights if it holds older ones.

        Args:
            policy: the policy that is trained.
            version: rollouts finished.

        Raises:
            EngineError: the engine failed, and its weights are those of no version.
        """
        with self.clock("sync"), waiting("the engine takes the weights", f"after step {version}"):
            if self.engine.version != version:
                weights = policy.weights()
                try:
                    with failing(self.engine, "taking the policy's weights"):
                        self.engine.sync(weights, version)
                except EngineError:
                    self.engine.version = -1
                    with suppress(Exception):
                        deque(weights, maxlen=0)  # other ranks wait for those that are sharded
                    raise

    def generate(
        self, problems: Sequence[Problem], sampling: Sampling, next_problems: Sequence[Problem] = ()
    ) -> list[Group]:
        """Draw a group of completions for each problem, in their order.

        Args:
            problems: may be empty.
            sampling: how completions are drawn; ``group_size`` for each problem, greedily at temperature 0.
            next_problems: the problems of the next call; their prompts are rendered during the generation.

        Raises:
            RefusedError: a picture cannot be decoded, a prompt is too long, the sampling is impossible, or
                ``start`` was not called.
            NotFiniteError: the model's logits are not finite.
            EngineError: the engine failed.
        """
        self._refuse_unready(sampling)
        if not problems and not self.engine.spans_ranks:
            return []
        with self.clock("render"), _rendering(problems):
            prompts = self.renderer.render(problems)
            self.renderer.prefetch(next_problems)
        return self._counted(self._draw(prompts, sampling))

    def complete(self, groups: Sequence[Group], group_size: int) -> list[Group]:
        """Draw the missing completions of groups; the result is as if all had been drawn at once.

        Args:
            groups: the first completions of each, equally many.
            group_size: completions per group in the result.

        Raises:
            RefusedError: the groups hold as many completions already.
        """
        if not groups:
            return []
        drawn = groups[0].sampling
        refuse_outside("group_size", group_size, above=drawn.group_size)
        missing = replace(drawn, group_size=group_size - drawn.group_size, first=drawn.group_size)
        others = self._counted(self._draw([group.prompt for group in groups], missing))
        whole = replace(drawn, group_size=group_size)
        return [
            Group(one.prompt, (*one.completions, *other.completions), whole)
            for one, other in zip(groups, others, strict=True)
        ]

    def _draw(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        doing = f"drawing {sampling.group_size} completions each"
        wait = waiting("the engine draws completions", partial(_drawing, self.engine, prompts, sampling))
        with self.clock("generate"), wait, failing(self.engine, doing, prompts):
            return self.engine.generate(prompts, sampling)

    def rest(self) -> None:
        """Let the engine give up what only drawing needs; the next ``sync`` or ``generate`` takes it again.

        Raises:
            EngineError: the engine failed.
        """
        if self.started:
            with failing(self.engine, "when it had drawn"):
                self.engine.rest()

    def _counted(self, groups: list[Group]) -> list[Group]:
        self.drawn += sum(group.tokens for group in groups)
        return groups

    def score(self, groups: Sequence[Group], step: int) -> ScoredGroups:
        """Verify and score completions; see ``score_groups``."""
        with self.clock("score"), waiting("completions are scored", f"step {step}"):
            return score_groups(self.rubric, groups, step)

    def answer(self, problems: Sequence[Problem], *samplings: Sampling) -> list[ScoredGroups]:
        """Generate and score, with pictures decoded and prompts rendered once.

        Args:
            problems: in any order.
            samplings: how completions are drawn, e.g. one greedily and eight at temperature 1.

        Returns:
            For each sampling a group per problem, in their order.

        Raises:
            RefusedError: as in ``generate``.
        """
        self._refuse_unready(*samplings)
        if not problems:
            return [ScoredGroups((), ()) for _ in samplings]
        with self.clock("render"), _rendering(problems):
            prompts = self.renderer.render(problems)
        answers = []
        for sampling in samplings:
            answers.append(self.score(self._draw(prompts, sampling), sampling.step))
        return answers

    def go_on(
        self, problems: Sequence[Problem], beginnings: Sequence[str], sampling: Sampling
    ) -> list[Group]:
        """Draw what the model writes after a given beginning of its response.

        Args:
            problems: in any order.
            beginnings: of each response; a special token in it is read as its letters.
            sampling: how completions are drawn; ``max_tokens`` after the beginning.

        Returns:
            A group per problem, in their order, whose prompt ends with the beginning: completions hold what
                was drawn alone.

        Raises:
            RefusedError: as in ``generate``.
        """
        self._refuse_unready(sampling)
        if not problems:
            return []
        with self.clock("render"), _rendering(problems):
            prompts = self.renderer.render(problems)
        tokenizer = self.renderer.processor.tokenizer
        begun = tokenizer(list(beginnings), add_special_tokens=False, split_special_tokens=True).input_ids
        return self._draw(
            [replace(prompt, ids=(*prompt.ids, *ids)) for prompt, ids in zip(prompts, begun, strict=True)],
            sampling,
        )

    def _refuse_unready(self, *samplings: Sampling) -> None:
        if not self.started:
            raise RefusedError("the engine has no model to sample from; call Answerer.start before answering")
        for sampling in samplings:
            refuse_impossible(sampling)

    def close(self) -> None:
        """End the process that checks answers, and the engine."""
        self.rubric.verifier.close()
        self.engine.close()


def _drawing(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling) -> str:
    rows = _rows([prompt.problem for prompt in prompts])
    return f"{type(engine).__name__}: {sampling.group_size} for each of {rows}, step {sampling.step}"


def _rendering(problems: Sequence[Problem]) -> Wait:
    return waiting("pictures are read and prompts rendered", lambda: _rows(problems))


def _rows(problems: Sequence[Problem]) -> str:
    named = ", ".join(shown(problem.id) for problem in problems[:SHOWN])
    return f"{len(problems)} rows, {named}{', ..' if len(problems) > SHOWN else ''}"
