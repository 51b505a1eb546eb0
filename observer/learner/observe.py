"""GRPO on verifiable rewards, after Observe-R1 (arXiv 2505.12432): a training step on one screen.

A step draws G completions for each of P prompts per rank, scores them, turns the scores of each group into
advantages (normalised within the group, weighted by difficulty) and takes U optimizer steps on a policy loss,
by default PPO's clipped one. Relatives (RLOO, Dr. GRPO, DAPO, GSPO, CISPO, ..) are settings, not learners of
their own. To replace a stage, subclass ``ObserveLearner`` and override the method of its name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable

from observer.answering import DEFAULT_REWARDS, Answerer
from observer.learner.dynamic_sampling import DynamicSampling
from observer.learner.figures import WATCHED, constant_curves, shown_pass_rates, sparse_figures, step_figures
from observer.learner.module import PolicyModule
from observer.learner.optimization import Optimization, default_optimizer
from observer.learner.updating.accumulation import accumulated
from observer.learner.updating.passes import with_equal_passes
from observer.metrics import Mismatch, update_figures
from observer.objective import (
    KL,
    Advantage,
    Combine,
    ComponentWeights,
    Constant,
    Correction,
    Denominator,
    GroupMeanStd,
    LearningRate,
    Loss,
    MicroBatch,
    Objective,
    ParameterGroups,
    PPOClip,
    Quadratic,
    Ranks,
    Tokens,
    Truncated,
    UpdateCounts,
    UpdateFilter,
    Weighting,
    ZeroSignal,
    equal_parts,
    make_micro_batches,
    reduced,
    weigh,
)
from observer.policy import PolicySpec, Reference
from observer.refusal import refuse_unlisted
from observer.rewards import Observe, ResponseFormat, Reward
from observer.rollout import Engine
from observer.seeding import stable_seed
from observer.strategies import described
from observer.types import Experience, Group, Problem, Sampling, Score
from observer.verifier import Limits


class ObserveLearner(PolicyModule):
    """Trains a policy on verifiable rewards: sync, generate, score, weigh, resample, update, finish.

    It owns the policy and, where a KL term needs one, the reference. A group without signal is one whose
    advantages are all 0. (N, T): completions of a pass x completion tokens, padded on the right.

    Args:
        policy: which model, and how to load it.
        response_format: what a response must look like; also gives the system prompt.
        rewards: name -> reward; the names are those of the components in logs.
        verifier: limits of checks in processes of their own; beyond them an answer is unverifiable.
        engine: draws completions; null for ``TransformersEngine``.
        max_prompt_tokens: longer prompts are refused before training; they are never cut.
        max_tokens: a completion that has not ended by then is cut.
        min_tokens: the end token is banned before this many tokens.
        temperature: of rollouts and of all log-probs of them; held-out answers are greedy, and at 1.
        group_size: G, completions per prompt.
        resample: rounds, at most, in which groups without signal are replaced by groups of other rows from
            the same schedule (dynamic sampling, arXiv 2503.14476); those replaced count as observed.
        screen: completions per group that decide whether it has signal, before the others are drawn (arXiv
            2506.09016); 0 judges whole groups. They are trained on too, which pulls the share of right ones
            towards 1/2; schedules are shown them alone. Their rewards are computed twice.
        advantage: how much better a completion is than its group.
        combine: whether rewards are added up before they are normalised or after (GDPO), each alone.
        weighting: the weight of each group in the update, mostly by its difficulty.
        loss: the policy loss per token.
        correction: importance weights for a sampler whose log-probs differ from the trainer's; null for none,
            ``auto`` for truncated ones (``Correction``) where the engine has weights of its own.
        kl: the term that keeps the policy near the reference; null for none, and no reference is loaded.
        entropy_bonus: coefficient, >= 0, of each token's entropy, which is subtracted from its loss.
        advantage_clip: advantages are clipped to plus or minus this; null for no limit.
        zero_signal: groups without signal are left out of the update (``drop``) or kept. They are kept where
            a KL term or an entropy bonus gives them a gradient, and where the denominator is ``micro_batch``.
        truncated: keep completions that were cut at the limit, or mask them: only their rewards count then.
        denominator: what the summed loss of one optimizer step is divided by, counted over all ranks.
            ``tokens``: the completion tokens that enter (DAPO). ``sequences``: each completion by its own
            tokens, then by all completions, those left out too (GRPO). ``constant``: all completions, those
            left out too, x max_tokens (Dr. GRPO). ``micro_batch``: each micro-batch by its own tokens, then
            their mean, so that a token's weight depends on what shares it (the Observe-R1 release).
        updates_per_rollout: U, optimizer steps per rollout: one for each of U equal parts of a rank's groups.
        micro_batch_tokens: tokens of one forward and backward pass, prompts counted once per group; memory
            grows with it. A completion is never cut: one that is longer has a pass of its own.
        micro_batch: completions of such a pass at most, or by denominator ``micro_batch`` of a part of it.
        gradient_clip: largest gradient norm; null for no clipping.
        optimizer: a torch optimizer by class path and init args; default AdamW, lr 1e-6.
        learning_rate: the factor of the optimizer's rate over the run.
        parameter_groups: which parameters have a rate or a weight decay of their own; null for none.
        held_out_samples: completions per held-out problem at temperature 1; ``sampled_..`` are their means.
        seed: of everything drawn.

    Raises:
        RefusedError: a value is out of its range, or the processor cannot be loaded.
    """

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
        group_size: int = 8,
        resample: int = 0,
        screen: int = 0,
        advantage: Advantage = GroupMeanStd(),
        combine: Combine = "sum_then_normalise",
        weighting: Weighting = Quadratic(),
        loss: Loss = PPOClip(),
        correction: Correction | Literal["auto"] | None = "auto",
        kl: KL | None = None,
        entropy_bonus: float = 0.0,
        advantage_clip: float | None = None,
        zero_signal: ZeroSignal = "drop",
        truncated: Truncated = "keep",
        denominator: Denominator = "tokens",
        updates_per_rollout: int = 1,
        micro_batch_tokens: int = 8192,
        micro_batch: int | None = None,
        gradient_clip: float | None = 1.0,
        optimizer: OptimizerCallable = default_optimizer,
        learning_rate: LearningRate = Constant(),
        parameter_groups: ParameterGroups | None = None,
        held_out_samples: int = 1,
        seed: int = 0,
    ) -> None:
        passes = (micro_batch_tokens, micro_batch, updates_per_rollout, parameter_groups)
        super().__init__(
            policy,
            Answerer.of(policy, response_format, rewards, verifier, engine, max_prompt_tokens),
            Sampling(group_size, max_tokens, min_tokens, temperature, seed),
            Optimization(optimizer, learning_rate, gradient_clip, *passes, denominator == "micro_batch"),
            held_out_samples,
        )
        refuse_unlisted(combine=(combine, Combine), denominator=(denominator, Denominator))
        self.dynamic_sampling = DynamicSampling(group_size, resample, screen)
        self.advantage, self.weighting, self.combine = advantage, weighting, combine
        weights, image_id = self.answerer.engine.weights, self.answerer.renderer.image_id
        self.objective = Objective(loss, kl, Correction.chosen(correction, weights), entropy_bonus)
        self.mismatch = Mismatch(image_id, watches=weights == "own")
        self.filter = UpdateFilter(advantage_clip, zero_signal, truncated)
        if not self.objective.silent_without_advantages or denominator == "micro_batch":
            self.filter = replace(self.filter, zero_signal="keep")
        self.denominator = denominator
        self._reference: Reference | None = None

    def configure_model(self) -> None:
        """Load the weights and, when a KL term needs it, keep them as the reference."""
        super().configure_model()
        if self.objective.kl is not None and self._reference is None:
            self._reference = Reference(self.policy, self.new_policy)

    def on_fit_start(self) -> None:
        """Move the reference to the policy's device."""
        if self._reference is not None:
            self._reference.to(self.device)

    def training_step(self, problems: list[Problem], batch_idx: int) -> dict[str, Any]:
        """Draw one rollout and learn from it."""
        step = self.data.step
        with self.failure_saved():
            self.sync()
            groups = self.generate(problems, step)
            experience = self.weigh(groups, self.score(groups, step))
            experience, replaced = self.resample(experience, step)
            self.answerer.rest()
        figures = self.update(experience, step)
        self.finish(experience, replaced, figures)
        return {"experience": experience, "update": figures}

    def generate(self, problems: Sequence[Problem], step: int) -> list[Group]:
        """Draw a group of completions for each problem: G of them, or only ``screen``."""
        sampling = replace(self.sampling, group_size=self.dynamic_sampling.first_draw, step=step)
        ahead = self.renders_ahead and not self.dynamic_sampling.resample
        with self.together():
            return self.answerer.generate(problems, sampling, self.data.upcoming() if ahead else ())

    def score(self, groups: Sequence[Group], step: int) -> list[tuple[Score, ...]]:
        """Return the verdict and the rewards of each completion."""
        return list(self.answerer.score(groups, step).scores)

    def weigh(self, groups: Sequence[Group], scores: Sequence[tuple[Score, ...]]) -> Experience:
        """Turn scores into advantages: normalised, bonus rewards added, weighted by difficulty."""
        rubric, ranks = self.answerer.rubric, Ranks(self.global_rank, self.over_ranks.join)
        with self.clock("weigh"):
            components = ComponentWeights(rubric.weights, rubric.accuracy)
            return weigh(groups, scores, components, self.advantage, self.weighting, self.combine, ranks)

    def resample(self, experience: Experience, step: int) -> tuple[Experience, list[Experience]]:
        """Replace groups without signal, and complete those that were screened; see ``DynamicSampling``.

        Returns:
            The rollout to learn from, whole groups only, and those before it in the order of their drawing.
        """
        others = (self.data.problems(rows) for rows in self.data.draw_again(step))
        experience, replaced = self.dynamic_sampling.replace_silent_groups(
            self, experience, others, step, self.over_ranks.join
        )
        if self.dynamic_sampling.screen:
            replaced.append(experience)  # what decided is observed, not what was drawn because of it
            with self.together():
                groups = self.answerer.complete(experience.groups, self.sampling.group_size)
            experience = self.weigh(groups, self.score(groups, step))
        return experience, replaced

    def update(self, experience: Experience, step: int) -> dict[str, float]:
        """Take U optimizer steps on an experience.

        Returns:
            Figures over all ranks: means over the completion tokens that entered, whatever the denominator,
            and ``gradient_norm`` and ``update_norm``, means over optimizer steps.

        Raises:
            FloatingPointError: a gradient is not finite; nothing of that optimizer step is applied.
        """
        options, seed = self.optimization, stable_seed(self.sampling.seed, "parts", step)
        parts = equal_parts(len(experience.groups), options.updates_per_rollout, seed)
        with self.clock("update"):
            micro_batches = [
                make_micro_batches(
                    self.filter.select(experience, part),  # zero_signal, truncated, advantage_clip
                    *(options.micro_batch_tokens, options.micro_batch, self.device, options.join),
                )
                for part in parts
            ]
            if self.policy.sharding is not None:
                of_parts = [[experience.groups[place] for place in part] for part in parts]
                micro_batches = with_equal_passes(micro_batches, of_parts, self.over_ranks)
            for micro_batch in [each for of_one_step in micro_batches for each in of_one_step]:
                if options.updates_per_rollout > 1:  # with one, old is the policy's own, detached: ratio 1
                    micro_batch.old_N_T = self.old_logprobs(micro_batch.groups)
                if self._reference is not None:
                    micro_batch.reference_N_T = self._reference.logprobs(micro_batch.groups).values_N_T
            totals, norms = torch.zeros(len(self.objective.figures), dtype=torch.float64), []
            with self.failure_saved(experience):
                for of_one_step, part in zip(micro_batches, parts, strict=True):
                    totals += self.accumulate_gradient(of_one_step, [experience.groups[i] for i in part])
                    norms.append(self.apply_gradients())
            figures = update_figures(self.objective.figures, totals, norms, self.over_ranks.reduce)
            return figures | self.mismatch.figures(self.over_ranks.join)

    @torch.no_grad()
    def old_logprobs(self, groups: Sequence[Group]) -> torch.Tensor:
        """Return the log-probs of the policy as it is before the first of several optimizer steps, (N, T)."""
        return self.policy.logprobs(groups, with_entropy=False).values_N_T

    def accumulate_gradient(self, micro_batches: Sequence[MicroBatch], part: Sequence[Group]) -> torch.Tensor:
        """Add up the gradient of one optimizer step.

        Args:
            micro_batches: of this rank; may be none. Where no rank has any, there is no gradient to step on.
            part: the groups that they were made of, with those that were left out.

        Returns:
            The sums of ``Objective.figures`` on this rank, float64, on the CPU.
        """
        return accumulated(self, micro_batches, part)

    def micro_batch_loss(
        self, micro_batch: MicroBatch, counts: UpdateCounts
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a micro-batch adds to the loss of its optimizer step, and its sums of figures.

        Args:
            micro_batch: of this rank.
            counts: of the optimizer step, over all ranks; the denominator of the loss is among them.
        """
        seen = self.policy.logprobs(micro_batch.groups, entropy_gradients=self.objective.entropy_bonus > 0)
        assert seen.entropy_N_T is not None
        old_N_T = seen.values_N_T.detach() if micro_batch.old_N_T is None else micro_batch.old_N_T
        tokens = Tokens(
            mask_N_T=seen.mask_N_T,
            logprobs_N_T=seen.values_N_T,
            old_N_T=old_N_T,
            drawn_N_T=micro_batch.drawn_N_T.to(seen.values_N_T.device),
            advantages_N_T=micro_batch.advantages_N[:, None],
            entropy_N_T=seen.entropy_N_T,
            reference_N_T=micro_batch.reference_N_T,
        )
        self.mismatch.note(tokens.old_N_T, tokens.drawn_N_T, tokens.mask_N_T, micro_batch.groups)
        loss_N_T, figures = self.objective(tokens)
        of = self.denominator, counts, self.sampling.max_tokens, micro_batch.parts
        return reduced(loss_N_T, seen.mask_N_T, *of), figures

    def finish(self, experience: Experience, replaced: list[Experience], figures: dict[str, float]) -> None:
        """Count the rollout as finished, give the pass rates of its first draws to the schedule, and log."""
        shown = shown_pass_rates([*replaced, experience], self.over_ranks)
        self.data.finish_step(list(shown), list(shown.values()))
        constant = constant_curves(self.weighting, self.optimization.updates_per_rollout)
        logged = step_figures(experience, figures, self.clock.lap(), self.over_ranks, constant)
        if self.dynamic_sampling.resample:
            logged["zoom_rollout/resampled"] = len(shown) / self.data.prompts_per_step - 1
        self.log_step(logged, WATCHED, sparse_figures(experience, self.over_ranks, self.answerer))

    def recipe(self) -> dict[str, Any]:
        """Return the options that must be the same when a run is resumed; see ``PolicyModule``."""
        objective, options = self.objective, self.optimization
        passes = (options.micro_batch or sys.maxsize, options.micro_batch_tokens)
        counted_too = self.filter.leaves_out and self.denominator in ("sequences", "constant")
        parts: dict[str, Any] = {"advantage": self.advantage, "weighting": self.weighting}
        parts |= {"loss": objective.loss, "correction": objective.correction, "kl": objective.kl}
        return {
            **super().recipe(),
            **{name: described(part) for name, part in parts.items()},
            **asdict(self.dynamic_sampling),
            "combine": self.combine,
            "updates_per_rollout": options.updates_per_rollout,
            "entropy_bonus": objective.entropy_bonus,
            **asdict(self.filter),
            "advantage_clip": self.filter.advantage_clip or float("inf"),
            "denominator": self.denominator,
            "left_out_counts": counted_too or None,  # formerly it did not, which such checkpoints lack
            "micro_batches": passes if self.denominator == "micro_batch" else None,  # others change no loss
        }
