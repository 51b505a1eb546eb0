"""The learner: one reinforcement step, on one screen. It owns the policy and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from observer.failure import save_failure
from observer.metrics import rollout_figures
from observer.module import PolicyModule
from observer.objective import KL, Advantage, GroupMeanStd, Loss, PPOClip, Quadratic, Weighting, weigh
from observer.objective.kl.base import reward_to_go
from observer.policy import Reference
from observer.seeding import stable_seed
from observer.strategies import described
from observer.types import Experience, Group, Problem, RefusedError, Score

UPDATE_FIGURES = ("tokens", "loss", "entropy", "clip_share", "kl", "sampler_gap")
"""Sums over the completion tokens that entered an update, the first their number; means are logged."""
WATCHED = ("train/reward", "train/accuracy", "train/format", "train/length", "seconds/step")
"""What a progress bar shows of a step."""


@dataclass(eq=False)
class Chunk:
    """What one forward and backward pass sees."""

    groups: list[Group]
    advantages_N: torch.Tensor
    """One a completion, float32, on the device of the policy."""
    old_N_T: torch.Tensor | None = None
    """Log-probs of the policy that drew the rollout; None while that is the policy itself."""

    @property
    def tokens(self) -> int:
        """Completion tokens."""
        return sum(group.tokens for group in self.groups)

    @property
    def drawn(self) -> torch.Tensor:
        """The log-probs that the tokens were drawn with, (N, T), float32, 0 where there is none."""
        rows = [torch.tensor(c.logprobs) for group in self.groups for c in group.completions]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


class ObserveLearner(PolicyModule):
    """Trains a policy on verifiable rewards: sync, generate, score, weigh, update."""

    def __init__(
        self,
        group_size: int = 8,
        advantage: Advantage = GroupMeanStd(),
        weighting: Weighting = Quadratic(),
        loss: Loss = PPOClip(),
        kl: KL | None = None,
        advantage_clip: float | None = None,
        updates_per_rollout: int = 1,
        zero_signal: Literal["drop", "keep"] = "drop",
        denominator: Literal["tokens", "micro_batch"] = "tokens",
        **options: Any,
    ) -> None:
        """Keep the options; see ``PolicyModule`` for the others.

        Args:
            group_size: G, completions a prompt.
            advantage: how much better a completion is than its group.
            weighting: how much a group weighs, by how hard it was.
            loss: the policy loss by token.
            kl: the term that holds the policy near the reference; null for none, and no reference is loaded.
            advantage_clip: advantages are cut to plus or minus this; null for no limit.
            updates_per_rollout: U, optimizer steps a rollout: its groups are cut into U equal parts, one step
                each.
            zero_signal: groups whose advantages are all 0 are left out of the update, or kept: then their
                tokens count in the denominator. With a KL term they are always kept.
            denominator: what the summed loss of an update is divided by. ``tokens``: the completion tokens
                that enter it, over all ranks. ``micro_batch``: each micro-batch by its own tokens, then the
                mean over micro-batches, so that a token's weight depends on its neighbours (as in the
                Observe-R1 release).
            options: those of ``PolicyModule``.

        Raises:
            RefusedError: a value is out of its range.
        """
        super().__init__(**options)
        if updates_per_rollout < 1:
            raise RefusedError(f"model.updates_per_rollout is {updates_per_rollout}; it must be >= 1")
        if group_size < 2:
            raise RefusedError(
                f"model.group_size is {group_size}; {type(advantage).__name__} compares the completions of a "
                f"group: at least 2 are needed"
            )
        if advantage_clip is not None and not advantage_clip > 0:
            raise RefusedError(f"model.advantage_clip is {advantage_clip}; it must be > 0, or null")
        self.group_size = group_size
        self.advantage = advantage
        self.weighting = weighting
        self.loss = loss
        self.kl = kl
        self.advantage_clip = advantage_clip or float("inf")
        self.updates_per_rollout = updates_per_rollout
        self.zero_signal = zero_signal
        self.denominator = denominator
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
        if self.kl is not None and self._reference is None:
            self._reference = Reference(self.policy)

    def recipe(self) -> dict[str, Any]:
        """Return what must not change when a run is resumed; see ``PolicyModule``."""
        return super().recipe() | {
            "group_size": self.group_size,
            "updates_per_rollout": self.updates_per_rollout,
            "advantage": described(self.advantage),
            "weighting": described(self.weighting),
            "loss": described(self.loss),
            "kl": described(self.kl),
            "advantage_clip": self.advantage_clip,
            "zero_signal": self.zero_signal,
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
        with self.stage("render"):
            prompts = self.renderer.render(problems)
            if self.renders_ahead:
                self.renderer.prefetch(self.ladder.upcoming())
        with self.stage("generate"):
            groups = self.engine.generate(prompts, self.sampling(self.group_size, step))
        with self.stage("score"):
            scores = self.score(groups, step)
        with self.stage("weigh"):
            experience = weigh(groups, scores, self.advantage, self.weighting)
        with self.stage("update"):
            figures = self.update(experience, step)
        self.finish(experience, figures)
        return {"experience": experience}

    @property
    def renders_ahead(self) -> bool:
        """Whether the prompts of the next step are rendered beside this one.

        Not where the policy is on a CPU: its cores have no time to spare, and two threads that compute with
        several cores each slow each other down many times.
        """
        return self.device.type != "cpu"

    def score(self, groups: Sequence[Group], step: int) -> list[tuple[Score, ...]]:
        """Return what the rewards say of each completion, P x G."""
        return self.rubric.score_all(groups, step)

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
        totals = torch.zeros(len(UPDATE_FIGURES), dtype=torch.float64, device=self.device)
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
        sums = self.over_ranks_reduced(dict(zip(UPDATE_FIGURES, totals.tolist(), strict=True)), "sum")
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
        advantages_P_G = experience.advantages_P_G.clamp(-self.advantage_clip, self.advantage_clip)
        keep_all = self.zero_signal == "keep" or self.kl is not None
        kept = [place for place in part if keep_all or bool(advantages_P_G[place].any())]
        groups = [experience.groups[place] for place in kept]
        return [
            Chunk(
                groups=[groups[place].take(piece) for place, piece in pieces],
                advantages_N=torch.cat([advantages_P_G[kept[place], piece] for place, piece in pieces])
                .float()
                .to(self.device),
            )
            for pieces in self.micro_batches(groups)
        ]

    def accumulate(self, chunks: list[Chunk], idle: Group) -> torch.Tensor:
        """Add up the gradient of one update.

        Args:
            chunks: its micro-batches on this rank; may be none.
            idle: what to pass through the model, with weight 0, when only other ranks have micro-batches.

        Returns:
            ``UPDATE_FIGURES`` of this rank, (6,), float64.
        """
        totals = torch.zeros(len(UPDATE_FIGURES), dtype=torch.float64, device=self.device)
        tokens = self.global_sum(sum(chunk.tokens for chunk in chunks))
        count = self.global_sum(len(chunks))
        if not count:  # on no rank: no gradient, and the optimizer steps over parameters without one
            return totals
        for chunk in chunks:
            denominator = tokens if self.denominator == "tokens" else chunk.tokens * count
            with self.gradient_sync(last=chunk is chunks[-1]):
                loss, figures = self.chunk_loss(chunk)
                # Gradients are averaged over ranks, and the denominator is of all of them.
                self.manual_backward(loss * self.trainer.world_size / denominator)
            totals += figures
        if not chunks:  # another rank has some, and waits for this one's gradients
            self.manual_backward(self.policy.logprobs([idle], with_entropy=False).values_N_T.sum() * 0.0)
        return totals

    def chunk_loss(self, chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of a micro-batch, summed over its tokens, and its ``UPDATE_FIGURES``."""
        logprobs = self.policy.logprobs(chunk.groups)
        old_N_T = logprobs.values_N_T.detach() if chunk.old_N_T is None else chunk.old_N_T
        advantages_N_T = chunk.advantages_N[:, None].expand_as(old_N_T)
        kl_N_T = torch.zeros_like(old_N_T)
        if self.kl is not None and self._reference is not None:
            reference_N_T = self._reference.logprobs(chunk.groups).values_N_T
            if self.kl.apply_to == "reward":
                kl_N_T = self.kl(old_N_T, reference_N_T)
                advantages_N_T = advantages_N_T + reward_to_go(-self.kl.coefficient * kl_N_T)
            else:
                kl_N_T = self.kl(logprobs.values_N_T, reference_N_T)
        loss_N_T, clipped_N_T = self.loss(logprobs.values_N_T, old_N_T, advantages_N_T)
        if self.kl is not None and self.kl.apply_to == "loss":
            loss_N_T = loss_N_T + self.kl.coefficient * kl_N_T
        mask_N_T, entropy_N_T = logprobs.mask_N_T, logprobs.entropy_N_T
        assert entropy_N_T is not None
        gap_N_T = (chunk.drawn.to(old_N_T.device) - old_N_T).abs()
        watched = (mask_N_T.float(), loss_N_T, entropy_N_T, clipped_N_T, kl_N_T, gap_N_T)
        figures = torch.stack([(values_N_T.detach() * mask_N_T).sum() for values_N_T in watched])
        return (loss_N_T * mask_N_T).sum(), figures

    def finish(self, experience: Experience, figures: dict[str, float]) -> None:
        """Count the rollout as finished, tell the ladder what it showed, and log."""
        problems = [group.problem for group in experience.groups]
        rows_P = self.over_ranks(torch.tensor([problem.row for problem in problems]))
        levels_P = self.over_ranks(torch.tensor([problem.level for problem in problems]))
        pass_rates_P = self.over_ranks(experience.pass_rates_P)
        self.ladder.finish_step(rows_P.tolist(), pass_rates_P.tolist())
        tokens = self.global_sum(sum(group.tokens for group in experience.groups))
        seconds = self.stage.lap()
        own = {f"train/{name}": value for name, value in rollout_figures(experience).items()}
        own |= {f"seconds/{name}": value for name, value in seconds.items()}
        figures = {
            f"train/{name}": value for name, value in figures.items() if self.kl is not None or name != "kl"
        }
        figures |= self.over_ranks_reduced(own, "mean")
        figures["tokens_per_second"] = tokens / figures["seconds/step"]
        for level in levels_P.unique().tolist():
            figures[f"train_level/{level}"] = float(pass_rates_P[levels_P == level].mean())
        watched = {name: figures.pop(name) for name in WATCHED}
        self.log_dict(figures, rank_zero_only=True, batch_size=len(problems))
        self.log_dict(watched, prog_bar=True, rank_zero_only=True, batch_size=len(problems))
