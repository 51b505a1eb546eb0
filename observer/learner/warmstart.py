"""The supervised cold start (SFT): the policy imitates worked solutions before it is reinforced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from lightning.pytorch.cli import OptimizerCallable

from observer.answering import DEFAULT_REWARDS, Answerer
from observer.learner.module import PolicyModule
from observer.learner.optimization import Optimization, default_optimizer
from observer.learner.updating.passes import most_passes, pass_empty
from observer.objective import Constant, LearningRate, ParameterGroups, cut_groups
from observer.policy import PolicySpec
from observer.refusal import shown
from observer.rewards import Observe, ResponseFormat, Reward
from observer.rollout import Engine
from observer.types import Completion, Group, Problem, Prompt, RefusedError, Sampling
from observer.verifier import Limits


class WarmStart(PolicyModule):
    """Imitates ``metadata["solution"]`` of each problem; the loss is the mean over its tokens.

    It evaluates like ``ObserveLearner``, so a threshold on ``val/accuracy`` can stop it.

    Args:
        policy: which model, and how to load it.
        response_format: what a response must look like; also gives the system prompt.
        rewards: name -> reward, for held-out evaluation.
        verifier: limits of time and memory for kinds of answers checked in processes of their own.
        engine: draws completions for held-out evaluation; null for ``TransformersEngine``.
        max_prompt_tokens: longer prompts are refused before training; they are never cut.
        max_tokens: a completion that has not ended by then is cut.
        min_tokens: the end token is banned before this many tokens, in held-out evaluation.
        micro_batch_tokens: tokens of one forward and backward pass; memory grows with it.
        micro_batch: problems of one forward and backward pass at most; null for as many as the tokens allow.
        gradient_clip: largest gradient norm; null for no clipping.
        optimizer: a torch optimizer by class path and init args; default AdamW, lr 1e-6.
        learning_rate: the factor of the optimizer's rate over the run.
        parameter_groups: which parameters have a rate or a weight decay of their own; null for none.
        held_out_samples: completions per held-out problem at temperature 1; ``sampled_..`` are their means.
        temperature: not used: evaluation is greedy, and sampled at temperature 1.
        seed: of everything drawn.

    Raises:
        RefusedError: a value is out of its range, or the processor cannot be loaded.
    """

    charts: ClassVar[Mapping[str, Sequence[str]]] = {
        "loss": ("train/loss",),
        "held-out accuracy": ("val/accuracy", "val/sampled_accuracy"),
    }

    def __init__(
        self,
        policy: PolicySpec,
        response_format: ResponseFormat = Observe(),
        rewards: dict[str, Reward] = DEFAULT_REWARDS,
        verifier: Limits = Limits(),
        engine: Engine | None = None,
        max_prompt_tokens: int = 4096,
        max_tokens: int = 1024,
        min_tokens: int = 0,
        temperature: float = 1.0,
        micro_batch_tokens: int = 8192,
        micro_batch: int | None = None,
        gradient_clip: float | None = 1.0,
        optimizer: OptimizerCallable = default_optimizer,
        learning_rate: LearningRate = Constant(),
        parameter_groups: ParameterGroups | None = None,
        held_out_samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            policy,
            Answerer.of(policy, response_format, rewards, verifier, engine, max_prompt_tokens),
            Sampling(1, max_tokens, min_tokens, temperature, seed),
            Optimization(
                optimizer,
                learning_rate,
                gradient_clip,
                micro_batch_tokens,
                micro_batch,
                parameter_groups=parameter_groups,
            ),
            held_out_samples,
        )

    def training_step(self, problems: list[Problem], batch_idx: int) -> dict[str, Any]:
        """Take one optimizer step on the worked solutions of a batch."""
        with self.clock("render"):
            groups = [self._solved(prompt) for prompt in self.answerer.renderer.render(problems)]
        options = self.optimization
        with self.clock("update"):
            total, loss = self.over_ranks.sum(sum(group.tokens for group in groups)), 0.0
            passes = list(cut_groups(groups, options.micro_batch_tokens, options.micro_batch))
            for pieces in passes:
                with self.gradient_sync(last=pieces is passes[-1]):
                    solved = [groups[place] for place, _ in pieces]
                    nll = -self.policy.logprobs(solved, with_entropy=False).values_N_T.sum() / total
                    self.manual_backward(nll * self.trainer.world_size)
                    loss += float(nll.detach())
            if self.policy.sharding is not None:
                [most] = most_passes([len(passes)], self.over_ranks)
                for _ in range(most - len(passes)):
                    pass_empty(self, groups[:1])
            if not self.over_ranks.sum(sum(len(group.prompt.pictures) for group in groups)):
                self.policy.drop_vision_gradients()
            with self.failure_saved(groups):
                norms = self.apply_gradients()
        self.data.finish_step([], [])
        update = {"loss": self.over_ranks.sum(loss), **norms}
        figures = {"train/loss": update["loss"]} | {f"zoom_update/{name}": norms[name] for name in norms}
        self.log_step(figures, ["train/loss", "zoom_update/gradient_norm"])
        return {"update": update}

    def _solved(self, prompt: Prompt) -> Group:
        """Return the worked solution of a problem as its only completion."""
        solution = prompt.problem.metadata.get("solution")
        if not isinstance(solution, str) or not solution:
            raise RefusedError(
                f"{prompt.problem.source}: row {shown(prompt.problem.id)} has the solution "
                f"{shown(solution)}; a cold start imitates the text in metadata 'solution' of every row"
            )
        ids = (*self.policy.tokenizer(solution).input_ids, self.policy.end_ids[0])
        completion = Completion(ids, (0.0,) * len(ids), solution, "stop", 0)
        sampling = replace(self.sampling, temperature=1.0, min_tokens=0, step=self.data.step)
        return Group(prompt, (completion,), sampling)
