"""What every trained policy has in common: options, checks, the model, its engine, its optimizer.

``ObserveLearner`` trains it by reinforcement and ``WarmStart`` by imitation; both are measured as
``HeldOutEvaluation`` says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from observer.data.module import LadderDataModule
from observer.learner.held_out import HeldOutEvaluation
from observer.objective import Constant, LearningRate
from observer.policy import Policy, PolicySpec, load_processor
from observer.policy.allocation import keep_freed_memory
from observer.rewards import Accuracy, Bonus, Format, Observe, ResponseFormat, Reward, Rubric
from observer.rollout import Engine, PromptRenderer, TransformersEngine
from observer.run.stopwatch import Stopwatch
from observer.seeding import stable_seed
from observer.strategies import described
from observer.types import Group, RefusedError
from observer.verifier import Limits, Verifier

DEFAULT_REWARDS: dict[str, Reward] = {"accuracy": Accuracy(), "format": Format(), "bonus": Bonus()}


def default_optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with the learning rate of the Observe-R1 release, 1e-6, and no weight decay."""
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)


class PolicyModule(HeldOutEvaluation):
    """A policy with its engine, rubric, optimizer and held-out evaluation."""

    updates_per_rollout = 1

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
        seed: int = 0,
    ) -> None:
        """Keep the options and load the processor; weights are loaded when the trainer asks for them.

        Args:
            policy: which model, and how to load it.
            response_format: what a response must look like; also gives the system prompt.
            rewards: name -> reward; the names are those of the parts in logs.
            verifier: what checking an answer may take, for kinds that are checked in processes of their own;
                beyond it the answer is unverifiable, and so not right.
            engine: draws completions; None for ``TransformersEngine()``.
            max_prompt_tokens: longer prompts are refused before training; they are never cut.
            max_tokens: a completion that has not ended by then is cut.
            min_tokens: the end token is banned before this many tokens.
            temperature: of the rollouts; evaluation is greedy, and sampled at temperature 1.
            micro_batch_tokens: tokens of one forward and backward pass, prompts counted once a group; memory
                grows with it. A completion is never cut, so one that is longer has a pass of its own.
            micro_batch: completions of one forward and backward pass at most; null for as many as the tokens
                allow.
            gradient_clip: largest gradient norm; null for no clipping.
            optimizer: a torch optimizer by class path and init args; default AdamW, lr 1e-6.
            learning_rate: the factor of the optimizer's rate over the run.
            seed: of everything drawn.

        Raises:
            RefusedError: a value is out of its range, or the processor cannot be loaded.
        """
        super().__init__()
        self.automatic_optimization = False
        for name, value, least in (
            ("max_prompt_tokens", max_prompt_tokens, 1),
            ("max_tokens", max_tokens, 1),
            ("min_tokens", min_tokens, 0),
            ("micro_batch_tokens", micro_batch_tokens, 1),
            ("micro_batch", 1 if micro_batch is None else micro_batch, 1),
        ):
            if value < least:
                raise RefusedError(f"model.{name} is {value}; it must be >= {least}")
        if min_tokens > max_tokens:
            raise RefusedError(f"model.min_tokens is {min_tokens}, above max_tokens {max_tokens}")
        if not temperature > 0:
            raise RefusedError(f"model.temperature is {temperature}; it must be > 0")
        if gradient_clip is not None and not gradient_clip > 0:
            raise RefusedError(f"model.gradient_clip is {gradient_clip}; it must be > 0, or null")
        self.spec = policy
        self.strict_loading = policy.lora is None  # checkpoints of adapters hold nothing else
        self.rubric = Rubric(rewards, response_format, Verifier(verifier))
        self.engine = engine or TransformersEngine()
        self.micro_batch_tokens = micro_batch_tokens
        self.micro_batch = micro_batch or sys.maxsize
        self.gradient_clip = gradient_clip
        self.make_optimizer = optimizer
        self.learning_rate = learning_rate
        self.seed = seed
        self.stage = Stopwatch()
        self.renderer = PromptRenderer(load_processor(policy), response_format.prompt, max_prompt_tokens)
        self._sampling = {"max_tokens": max_tokens, "min_tokens": min_tokens, "temperature": temperature}
        self.policy: Policy

    # Set-up

    @property
    def horizon(self) -> int:
        """Rollouts of the whole run."""
        limits = []
        if self.trainer.max_steps > 0:
            limits.append(self.trainer.max_steps // self.updates_per_rollout)
        if self.trainer.max_epochs is not None and self.trainer.max_epochs > 0:
            limits.append(self.trainer.max_epochs * self.ladder.steps_per_epoch)
        if not limits:
            raise RefusedError("the trainer has no end; set trainer.max_steps (or max_epochs)")
        return min(limits)

    def setup(self, stage: str) -> None:
        """Check trainer, data and options against each other, before weights are loaded.

        Raises:
            RefusedError: they do not go together; says why and what to change.
        """
        if not isinstance(getattr(self.trainer, "datamodule", None), LadderDataModule):
            raise RefusedError(
                "the trainer has no LadderDataModule; pass one: trainer.fit(learner, datamodule=...)"
            )
        if self.trainer.precision not in ("32-true", "bf16-mixed"):
            raise RefusedError(
                f"trainer.precision is {self.trainer.precision}; weights are kept in float32 and "
                f"losses are not scaled: use 32-true or bf16-mixed"
            )
        if self.trainer.strategy.root_device.type == "mps":
            raise RefusedError("trainer.accelerator is mps, which has no float64; use cpu or cuda")
        if self.trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        sharded = isinstance(self.trainer.strategy, FSDPStrategy | ModelParallelStrategy)
        if sharded and self.engine.weights == "shared":
            raise RefusedError(
                f"{type(self.engine).__name__} samples from the policy's own module, which "
                f"{type(self.trainer.strategy).__name__} takes apart; use an engine with its own weights"
            )
        self.ladder.admit(self.renderer, self.rubric.verifier, Path(self.trainer.default_root_dir))
        if stage == "fit":
            self.check_sizes()
            self.ladder.horizon = self.horizon
            self.ladder.draw(0)  # what the schedule cannot draw is refused here, and not after an evaluation

    def check_sizes(self) -> None:
        """Refuse sizes that do not divide.

        Raises:
            RefusedError: names both numbers.
        """
        prompts, ranks = self.ladder.prompts_per_step, self.trainer.world_size
        if prompts % ranks:
            raise RefusedError(f"data.prompts_per_step {prompts} does not divide over {ranks} processes")

    def configure_model(self) -> None:
        """Load the weights, or draw them from the seed, and hand them to the engine."""
        if hasattr(self, "policy"):
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_seed(self.seed, "weights"))
            self.policy = Policy(self.spec, self.renderer.processor)
        rank_zero_info(self.policy.described())
        self.engine.start(self.policy)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer over what trains, and its schedule in optimizer steps."""
        optimizer = self.make_optimizer(p for p in self.policy.parameters() if p.requires_grad)
        total = self.horizon * self.updates_per_rollout
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.learning_rate.factor(step, total)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which model the weights belong to, for ``observer export``; of adapters save them alone."""
        local = Path(self.spec.path).expanduser()
        path = str(local.resolve()) if local.is_dir() else self.spec.path
        checkpoint["policy"] = {**asdict(self.spec), "path": path}
        checkpoint["recipe"] = self.recipe()
        if self.spec.lora is not None:
            trained = self._trained_names()
            checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the engine take the weights that are loaded.

        Raises:
            RefusedError: the weights are those of another model, or a fit would go on with another recipe;
                names what differs. Or the checkpoint is no fit's.
        """
        if lost := {"policy", "recipe", type(self.ladder).__qualname__} - checkpoint.keys():
            raise RefusedError(
                f"the checkpoint holds no {', '.join(sorted(lost))}: it was made by no fit, or is damaged; "
                f"give another with --ckpt_path"
            )
        self.engine.version = -1
        own, saved = self.state_dict(), checkpoint["state_dict"]
        expected = own.keys() if self.spec.lora is None else self._trained_names()
        for name in [*saved, *expected]:
            here, there = (tuple(d[name].shape) if name in d else "none" for d in (own, saved))
            if here != there:
                raise RefusedError(
                    f"the checkpoint is of another model: {name} is {there} there, {here} here; set "
                    f"model.policy.path and model.policy.lora to what it was trained with"
                )
        adapters, trained_with = self.spec.lora and asdict(self.spec.lora), checkpoint["policy"]["lora"]
        if adapters != trained_with:  # their scale shows in no shape
            raise RefusedError(
                f"the checkpoint is of another model: its adapters are {trained_with}, here {adapters}; set "
                f"model.policy.lora to what it was trained with"
            )
        if self.trainer.state.fn is not TrainerFn.FITTING:
            return
        for name, now in self.recipe().items():
            if (before := checkpoint["recipe"].get(name)) != now:
                raise RefusedError(
                    f"cannot resume: the checkpoint was made with {name} {before}, this run has {now}; "
                    f"resume with the configuration it was started with, or start a new run from its export"
                )

    def _trained_names(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def recipe(self) -> dict[str, Any]:
        """Return what must not change when a run is resumed, as builtins: it would be another run."""
        optimizer = self.make_optimizer([torch.nn.Parameter(torch.zeros(1))])
        return {
            "seed": self.seed,
            "sampling": {**self._sampling},
            "rewards": {name: described(reward) for name, reward in self.rubric.rewards.items()},
            "response_format": described(self.rubric.response_format),
            "optimizer": f"{type(optimizer).__name__} {optimizer.defaults}",
            "learning_rate": described(self.learning_rate),
            "gradient_clip": self.gradient_clip,
        }

    def on_train_start(self) -> None:
        """Start the clock of the first step."""
        self.stage.restart()

    def teardown(self, stage: str) -> None:
        """End the process that checks answers, and after a fit the engine."""
        self.rubric.verifier.close()
        if stage == "fit":
            self.engine.close()

    # Updates

    def micro_batches(self, groups: Sequence[Group]) -> Iterator[list[tuple[int, slice]]]:
        """Cut groups into passes of at most ``micro_batch_tokens`` tokens and ``micro_batch`` completions.

        Groups of like length share a pass, since rows are padded to the longest where they attend. A group is
        cut only where it alone is too large.

        Args:
            groups: in any order.

        Yields:
            Pieces of one pass: (place of a group, which of its completions). Together they cover all
            completions once.
        """
        pieces: list[tuple[int, slice]] = []
        room, rows = self.micro_batch_tokens, self.micro_batch
        for place in sorted(range(len(groups)), key=lambda place: groups[place].longest):
            prompt = len(groups[place].prompt.ids)
            lengths = [len(completion.ids) for completion in groups[place].completions]
            first = 0
            while first < len(lengths):
                totals = [total for total in accumulate(lengths[first:], initial=prompt) if total <= room]
                count = min(len(totals) - 1, rows)
                if pieces and count < len(lengths) - first:
                    yield pieces
                    pieces, room, rows = [], self.micro_batch_tokens, self.micro_batch
                    continue
                last = first + max(count, 1)
                pieces.append((place, slice(first, last)))
                room, rows = room - prompt - sum(lengths[first:last]), rows - (last - first)
                first = last
        if pieces:
            yield pieces

    def gradient_sync(self, last: bool) -> Any:
        """Return a context in which ranks exchange gradients only in the last backward pass of an update."""
        block = getattr(self.trainer.strategy, "block_backward_sync", None)
        return nullcontext() if last or block is None else block()

    def global_sum(self, value: float) -> float:
        """Add a number up over ranks."""
        tensor = torch.tensor(float(value), dtype=torch.float64, device=self._collective_device)
        return float(self.trainer.strategy.reduce(tensor, reduce_op="sum"))

    def over_ranks_reduced(
        self, figures: dict[str, float], operation: Literal["sum", "mean"]
    ) -> dict[str, float]:
        """Add up or average figures over ranks, in one exchange; every rank must bring the same names."""
        names = sorted(figures)
        values = torch.tensor(
            [figures[name] for name in names], dtype=torch.float64, device=self._collective_device
        )
        reduced = self.trainer.strategy.reduce(values, reduce_op=operation)
        return dict(zip(names, reduced.tolist(), strict=True))

    def over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """Concatenate equally long tensors of all ranks, rank 0 first."""
        if self.trainer.world_size == 1:
            return values
        return self.all_gather(values.to(self._collective_device)).flatten(0, 1).cpu()  # type: ignore[union-attr]

    @property
    def _collective_device(self) -> torch.device:
        return self.trainer.strategy.root_device

    def apply_gradients(self) -> float:
        """Clip, step the optimizer and its schedule; return the gradient norm before clipping.

        Raises:
            FloatingPointError: the gradient is not finite, on every rank alike; nothing is applied.
        """
        trained = [p for p in self.policy.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if not bool(norm.isfinite()):
            raise FloatingPointError(f"the gradient norm is {norm.item()}")
        if self.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(trained, self.gradient_clip, norm)
        optimizer = self.optimizers()
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad(set_to_none=True)  # type: ignore[union-attr]
        torch.clear_autocast_cache()  # of weights as they were, for a further update of this rollout
        self.lr_schedulers().step()  # type: ignore[union-attr]
        return norm.item()
