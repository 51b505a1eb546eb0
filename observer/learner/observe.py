"""The learner: one reinforcement step, on one screen. It owns the policy and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from observer.learner.failure import save_failure
from observer.learner.rollouts import RolloutModule
from observer.metrics import component_means, rollout_figures
from observer.objective import (
    KL,
    Chunk,
    Correction,
    Denominator,
    Entered,
    Entrance,
    Loss,
    Objective,
    PPOClip,
    Tokens,
    Truncated,
    ZeroSignal,
    reduced,
)
from observer.policy import Reference
from observer.refusal import refuse_unlisted
from observer.run.curves import log_present
from observer.seeding import stable_seed
from observer.strategies import described
from observer.types import Experience, Group, Problem, RefusedError

WATCHED = ("train/reward", "train/accuracy", "train/format", "train/length", "seconds/step")
"""What a progress bar shows of a step."""


class ObserveLearner(RolloutModule):
    """Trains a policy on verifiable rewards: sync, generate, score, weigh, update."""

    def __init__(
        self,
        loss: Loss = PPOClip(),
        correction: Correction | None = None,
        kl: KL | None = None,
        entropy_bonus: float = 0.0,
        advantage_clip: float | None = None,
        updates_per_rollout: int = 1,
        zero_signal: ZeroSignal = "drop",
        truncated: Truncated = "keep",
        denominator: Denominator = "tokens",
        **options: Any,
    ) -> None:
        """Keep the options; see ``RolloutModule`` and ``PolicyModule`` for the others.

        Args:
            loss: the policy loss by token.
            correction: importance weights for a sampler whose log-probs differ from the trainer's; null for
                none.
            kl: the term that holds the policy near the reference; null for none, and no reference is loaded.
            entropy_bonus: this times the entropy of each token is taken from its loss, >= 0. Above 0 it takes
                memory for one more copy of the logits of a chunk.
            advantage_clip: advantages are cut to plus or minus this; null for no limit.
            updates_per_rollout: U, optimizer steps a rollout: one for each of U equal parts of its groups.
            zero_signal: groups whose advantages are all 0 are left out of the update, or kept: then their
                tokens count in the denominator. With a KL term or an entropy bonus they are always kept.
            truncated: completions that were cut at the limit are kept in the update, or masked: then they
                leave it and its denominator, while their rewards stay in the statistics of their group.
            denominator: what the summed loss of an update is divided by, over all ranks. ``tokens``: the
                completion tokens that enter it. ``sequences``: each completion by its own tokens, then by the
                number of those that enter. ``constant``: the completions that enter times max_tokens (Dr.
                GRPO). ``micro_batch``: each micro-batch by its own tokens, then the mean over micro-batches,
                so that a token's weight depends on its neighbours (as in the Observe-R1 release).
            options: those of ``RolloutModule`` and ``PolicyModule``.

        Raises:
            RefusedError: a value is out of its range.
        """
        super().__init__(**options)
        if updates_per_rollout < 1:
            raise RefusedError(f"model.updates_per_rollout is {updates_per_rollout}; it must be >= 1")
        if advantage_clip is not None and not advantage_clip > 0:
            raise RefusedError(f"model.advantage_clip is {advantage_clip}; it must be > 0, or null")
        if not 0 <= entropy_bonus < float("inf"):
            raise RefusedError(f"model.entropy_bonus is {entropy_bonus}; it must be >= 0 and finite")
        refuse_unlisted(
            zero_signal=(zero_signal, ZeroSignal),
            truncated=(truncated, Truncated),
            denominator=(denominator, Denominator),
        )
        self.objective = Objective(loss, kl, correction, entropy_bonus)
        self.entrance = Entrance(
            advantage_clip or float("inf"),
            zero_signal if self.objective.silent_without_advantages else "keep",
            truncated,
        )
        self.updates_per_rollout = updates_per_rollout
        self.denominator: Denominator = denominator
        self._reference: Reference | None = None

    # Set-up

    def check_sizes(self) -> None:
        """Refuse sizes that do not divide; see ``PolicyModule``."""
        super().check_sizes()
        updates, prompts = self.updates_per_rollout, self.ladder.prompts_per_step // self.trainer.world_size
        if prompts % updates:
            raise RefusedError(
                f"{prompts} prompts a rank do not divide into updates_per_rollout {updates} equal parts"
            )
        if self.trainer.max_steps > 0 and self.trainer.max_steps % updates:
            raise RefusedError(
                f"trainer.max_steps {self.trainer.max_steps} counts optimizer steps and is no multiple of "
                f"updates_per_rollout {updates}; a run must end with a rollout"
            )

    def configure_model(self) -> None:
        """Load the weights and, when a KL term needs it, keep what they are now as the reference."""
        super().configure_model()
        if self.objective.kl is not None and self._reference is None:
            self._reference = Reference(self.policy)

    def recipe(self) -> dict[str, Any]:
        """Return what must not change when a run is resumed; see ``PolicyModule``."""
        return super().recipe() | {
            "updates_per_rollout": self.updates_per_rollout,
            "loss": described(self.objective.loss),
            "correction": described(self.objective.correction),
            "kl": described(self.objective.kl),
            "entropy_bonus": self.objective.entropy_bonus,
            "advantage_clip": self.entrance.advantage_clip,
            "zero_signal": self.entrance.zero_signal,
            "truncated": self.entrance.truncated,
            "denominator": self.denominator,
            # Only here do micro-batches change the loss.
            "micro_batches": (self.micro_batch, self.micro_batch_tokens)
            if self.denominator == "micro_batch"
            else None,
        }

    def on_fit_start(self) -> None:
        """Move the reference beside the policy."""
        if self._reference is not None:
            self._reference.to(self.device)

    # The step

    def training_step(self, problems: list[Problem], batch_idx: int) -> dict[str, Experience]:
        """Make one rollout and learn from it."""
        step = self.ladder.step
        with self.stage("sync"):
            self.sync()
        experience, replaced = self.rollout(problems, step)
        with self.stage("update"):
            figures = self.update(experience, step)
        self.finish(experience, replaced, figures)
        return {"experience": experience}

    def update(self, experience: Experience, step: int) -> dict[str, float]:
        """Take U optimizer steps on an experience.

        Returns:
            Figures of the update over all ranks: means over completion tokens, or over optimizer steps.

        Raises:
            FloatingPointError: a gradient is not finite (nor is it when a loss is not). Nothing of that
                optimizer step is applied, and what is needed to look into it is saved under ``failure/`` in
                the run directory.
        """
        updates = [self.chunks(experience, part) for part in self.parts(len(experience.groups), step)]
        if self.updates_per_rollout > 1:
            for chunk in (chunk for chunks in updates for chunk in chunks):
                with torch.no_grad():
                    chunk.old_N_T = self.policy.logprobs(chunk.groups, with_entropy=False).values_N_T
        names = self.objective.figures
        totals = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        norms = []
        try:
            for chunks in updates:
                totals += self.accumulate(chunks, experience.groups[0].take(slice(1)))
                norms.append(self.apply_gradients())
        except FloatingPointError as error:
            where = save_failure(self.trainer.default_root_dir, step, experience, self.policy)
            raise FloatingPointError(
                f"step {step}: {error}; the batch and the weights are in {where}"
            ) from error
        sums = self.over_ranks_reduced(dict(zip(names, totals.tolist(), strict=True)), "sum")
        tokens = sums.pop("tokens")
        means = {name: value / tokens for name, value in sums.items()} if tokens else {}
        return means | {"gradient_norm": sum(norms) / len(norms)}

    def parts(self, groups: int, step: int) -> list[list[int]]:
        """Cut a rollout's groups into U equal parts, in seeded order when there are several.

        Args:
            groups: P.
            step: rollouts finished, part of the seed.
        """
        order = list(range(groups))
        if self.updates_per_rollout > 1:
            generator = torch.Generator().manual_seed(stable_seed(self.seed, "parts", step))
            order = torch.randperm(groups, generator=generator).tolist()
        size = groups // self.updates_per_rollout
        return [sorted(order[first : first + size]) for first in range(0, groups, size)]

    def chunks(self, experience: Experience, part: Sequence[int]) -> list[Chunk]:
        """Return the micro-batches of an update, without groups that have nothing to say.

        Args:
            experience: the rollout.
            part: places of the groups of this update.
        """
        admitted = self.entrance.admit(experience, part)
        return [
            Chunk(
                groups=[admitted[place][0].take(piece) for place, piece in pieces],
                advantages_N=torch.cat([admitted[place][1][piece] for place, piece in pieces])
                .float()
                .to(self.device),
            )
            for pieces in self.micro_batches([group for group, _ in admitted])
        ]

    def accumulate(self, chunks: list[Chunk], idle: Group) -> torch.Tensor:
        """Add up the gradient of one update.

        Args:
            chunks: its micro-batches on this rank; may be none.
            idle: what to pass through the model, with weight 0, when only other ranks have micro-batches.

        Returns:
            The sums of ``Objective.figures`` on this rank, float64.
        """
        totals = torch.zeros(len(self.objective.figures), dtype=torch.float64, device=self.device)
        counts: dict[str, float] = {
            "tokens": sum(chunk.tokens for chunk in chunks),
            "sequences": sum(len(chunk.advantages_N) for chunk in chunks),
            "micro_batches": len(chunks),
        }
        entered = Entered(**self.over_ranks_reduced(counts, "sum"))
        if not entered.micro_batches:  # on no rank: no gradient; the optimizer steps over parameters without
            return totals
        for chunk in chunks:
            with self.gradient_sync(last=chunk is chunks[-1]):
                loss, figures = self.chunk_loss(chunk, entered)
                # Gradients are averaged over ranks, and the denominator is of all of them.
                self.manual_backward(loss * self.trainer.world_size)
            totals += figures
        if not chunks:  # another rank has some, and waits for this one's gradients
            self.manual_backward(self.policy.logprobs([idle], with_entropy=False).values_N_T.sum() * 0.0)
        return totals

    def chunk_loss(self, chunk: Chunk, entered: Entered) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the share of a micro-batch in the loss of its update, and its sums of figures.

        Args:
            chunk: the micro-batch.
            entered: what enters the update, over all ranks.
        """
        seen = self.policy.logprobs(chunk.groups, entropy_gradients=self.objective.entropy_bonus > 0)
        assert seen.entropy_N_T is not None
        reference = None if self._reference is None else self._reference.logprobs(chunk.groups).values_N_T
        tokens = Tokens(
            mask_N_T=seen.mask_N_T,
            logprobs_N_T=seen.values_N_T,
            old_N_T=seen.values_N_T.detach() if chunk.old_N_T is None else chunk.old_N_T,
            drawn_N_T=chunk.drawn.to(seen.values_N_T.device),
            advantages_N_T=chunk.advantages_N[:, None],
            entropy_N_T=seen.entropy_N_T,
            reference_N_T=reference,
        )
        loss_N_T, figures = self.objective(tokens)
        limit = int(self._sampling["max_tokens"])
        return reduced(loss_N_T, seen.mask_N_T, self.denominator, entered, limit), figures

    def finish(
        self, experience: Experience, replaced: Sequence[Experience], figures: dict[str, float]
    ) -> None:
        """Count the rollout as finished, tell the ladder what it showed, and log.

        Args:
            experience: what was learned from.
            replaced: what it was before groups without signal were replaced, attempt by attempt.
            figures: of the update.
        """
        problems = [group.problem for group in experience.groups]
        levels_P = self.over_ranks(torch.tensor([problem.level for problem in problems]))
        pass_rates_P = self.over_ranks(experience.pass_rates_P)
        observed: dict[int, float] = {}  # each row once: a group that stayed is in all of them
        for shown in (*replaced, experience):
            rows_P = self.over_ranks(torch.tensor([group.problem.row for group in shown.groups]))
            observed |= dict(zip(rows_P.tolist(), self.over_ranks(shown.pass_rates_P).tolist(), strict=True))
        self.ladder.finish_step(list(observed), list(observed.values()))
        tokens = self.global_sum(sum(group.tokens for group in experience.groups))
        seconds = self.stage.lap()
        own = {f"train/{name}": value for name, value in rollout_figures(experience).items()}
        if self.resample:
            own["train/resampled"] = len(observed) / len(levels_P) - 1
        own |= {f"seconds/{name}": value for name, value in seconds.items()}
        figures = {f"train/{name}": value for name, value in figures.items()}
        present = {
            f"train/{name}": value for name, value in component_means(experience, self.over_ranks).items()
        }
        figures |= self.over_ranks_reduced(own, "mean")
        figures["tokens_per_second"] = tokens / figures["seconds/step"]
        for level in levels_P.unique().tolist():
            present[f"train_level/{level}"] = float(pass_rates_P[levels_P == level].mean())
        log_present(self.trainer, present, self.ladder.step - 1)
        watched = {name: figures.pop(name) for name in WATCHED}
        self.log_dict(figures, rank_zero_only=True, batch_size=len(problems))
        self.log_dict(watched, prog_bar=True, rank_zero_only=True, batch_size=len(problems))
