"""The base of both learners: checks, weights, optimizer, checkpoints and held-out evaluation.

``ObserveLearner`` trains a policy by reinforcement and ``WarmStart`` by imitation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from observer.answering import Answerer
from observer.data.module import LadderDataModule
from observer.learner.failure import failure_saved
from observer.learner.former_methods import refuse_former_methods
from observer.learner.held_out import HeldOut
from observer.learner.logged import LoggedModule
from observer.learner.optimization import Optimization
from observer.learner.ranks import OverRanks
from observer.learner.restoring import entries, refuse_malformed, refuse_unlike
from observer.policy import Policy, PolicySpec
from observer.policy.allocation import keep_freed_memory
from observer.policy.checkpoint import first_misfit
from observer.refusal import refuse_outside
from observer.run.stopwatch import Stopwatch
from observer.seeding import stable_seed
from observer.strategies import described, with_present_names
from observer.types import Experience, Group, Problem, RefusedError, Sampling


class PolicyModule(LoggedModule):
    """A policy with its answerer, its optimizer, its checkpoints and its held-out evaluation."""

    policy: Policy
    """Set by ``configure_model``."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_former_methods(cls)

    def __init__(
        self, spec: PolicySpec, answerer: Answerer, sampling: Sampling, optimization: Optimization
    ) -> None:
        """Check the options; weights are loaded later, in ``configure_model``.

        Args:
            spec: which model, and how to load it.
            answerer: draws completions from the policy and scores them.
            sampling: how completions are drawn in training, ``group_size`` each; its seed is the run's.
            optimization: optimizer, learning rate, clipping and micro-batch size.

        Raises:
            RefusedError: a value of ``sampling`` is out of its range.
        """
        super().__init__()
        refuse_outside("model.max_prompt_tokens", answerer.renderer.max_tokens, 1)
        refuse_outside("model.max_tokens", sampling.max_tokens, 1)
        refuse_outside("model.min_tokens", sampling.min_tokens, 0)
        if sampling.min_tokens > sampling.max_tokens:
            raise RefusedError(
                f"model.min_tokens is {sampling.min_tokens}, above max_tokens {sampling.max_tokens}"
            )
        refuse_outside("model.temperature", sampling.temperature, above=0)
        self.automatic_optimization = False
        self.strict_loading = spec.lora is None  # with LoRA, checkpoints hold only adapters
        self.spec = spec
        self.answerer = answerer
        self.sampling = sampling
        self.optimization = optimization

    @property
    def data(self) -> LadderDataModule:
        """The data module, which owns the number of finished rollouts."""
        data: LadderDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    @property
    def clock(self) -> Stopwatch:
        """The stopwatch of the step's stages: ``with self.clock("update"): ..``."""
        return self.answerer.clock

    @property
    def over_ranks(self) -> OverRanks:
        """Sums, means and joins over all ranks."""
        return OverRanks(self.trainer)

    def failure_saved(self, rollout: Experience | Sequence[Group] = ()) -> AbstractContextManager[None]:
        """Return a context that saves rollout and weights where something is not finite."""
        return failure_saved(self.trainer.default_root_dir, self.data.step, self.policy, rollout)

    # Set-up

    @property
    def horizon(self) -> int:
        """Rollouts of the whole run, from ``max_steps`` and ``max_epochs``."""
        limits = []
        if self.trainer.max_steps > 0:
            limits.append(self.trainer.max_steps // self.optimization.updates_per_rollout)
        if self.trainer.max_epochs is not None and self.trainer.max_epochs > 0:
            limits.append(self.trainer.max_epochs * self.data.steps_per_epoch)
        if not limits:
            raise RefusedError("the trainer has no end; set trainer.max_steps (or max_epochs)")
        return min(limits)

    def setup(self, stage: str) -> None:
        """Check trainer, data and options against each other, before weights are loaded.

        Raises:
            RefusedError: they do not go together; the message names the reason and the remedy.
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
        if sharded and self.answerer.engine.weights == "shared":
            raise RefusedError(
                f"{type(self.answerer.engine).__name__} samples from the policy's own module, which "
                f"{type(self.trainer.strategy).__name__} takes apart; use an engine with its own weights"
            )
        self.data.admit(
            self.answerer.renderer, self.answerer.rubric.verifier, Path(self.trainer.default_root_dir)
        )
        if stage == "fit":
            self.check_sizes()
            self.data.horizon = self.horizon
            self.data.draw(0)  # a schedule that cannot draw is refused here, before an evaluation

    def check_sizes(self) -> None:
        """Refuse numbers of prompts, ranks, updates and steps that do not divide.

        Raises:
            RefusedError: names both numbers.
        """
        prompts, ranks = self.data.prompts_per_step, self.trainer.world_size
        updates, steps = self.optimization.updates_per_rollout, self.trainer.max_steps
        if prompts % ranks:
            raise RefusedError(f"data.prompts_per_step {prompts} does not divide over {ranks} processes")
        if prompts // ranks % updates:
            raise RefusedError(
                f"{prompts // ranks} prompts a rank do not divide into updates_per_rollout {updates} equal "
                f"parts"
            )
        if steps > 0 and steps % updates:
            raise RefusedError(
                f"trainer.max_steps {steps} counts optimizer steps and is no multiple of "
                f"updates_per_rollout {updates}; a run must end with a rollout"
            )

    def configure_model(self) -> None:
        """Load the weights, or draw them from the seed, and start the engine."""
        if hasattr(self, "policy"):
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_seed(self.sampling.seed, "weights"))
            self.policy = Policy(self.spec, self.answerer.renderer.processor)
        rank_zero_info(self.policy.described())
        self.answerer.start(self.spec, self.policy)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer over what trains, and its schedule in optimizer steps."""
        trained = (parameter for parameter in self.policy.parameters() if parameter.requires_grad)
        return self.optimization.configured(trained, self.horizon * self.optimization.updates_per_rollout)

    # Checkpoints

    def recipe(self) -> dict[str, Any]:
        """Return the options that must be the same when a run is resumed, as builtins."""
        rubric, sampling = self.answerer.rubric, self.sampling
        return {
            "seed": sampling.seed,
            "sampling": {
                "max_tokens": sampling.max_tokens,
                "min_tokens": sampling.min_tokens,
                "temperature": sampling.temperature,
            },
            "rewards": {name: described(reward) for name, reward in rubric.rewards.items()},
            "response_format": described(rubric.response_format),
            "optimizer": self.optimization.described(),
            "learning_rate": described(self.optimization.learning_rate),
            "gradient_clip": self.optimization.gradient_clip,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the policy's spec, for ``observer export``, and the recipe; with LoRA only trained weights."""
        local = Path(self.spec.path).expanduser()
        path = str(local.resolve()) if local.is_dir() else self.spec.path
        checkpoint["policy"] = {**asdict(self.spec), "path": path}
        checkpoint["recipe"] = self.recipe()
        checkpoint["entries"] = entries(checkpoint)
        if self.spec.lora is not None:
            trained = self._trained_names()
            checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the checkpoint against this run, and let the next sync hand its weights to the engine.

        Raises:
            RefusedError: the checkpoint was made by no fit, its weights are those of another model, or a
                resumed fit has another recipe; names the difference.
        """
        if lost := {"policy", "recipe", type(self.data).__qualname__} - checkpoint.keys():
            raise RefusedError(
                f"the checkpoint holds no {', '.join(sorted(lost))}: it was made by no fit, or is damaged; "
                f"give another with --ckpt_path ({self.trainer.ckpt_path})"
            )
        refuse_malformed(checkpoint, self)
        self.answerer.engine.version = -1
        own = self.state_dict()
        expected = own.keys() if self.spec.lora is None else self._trained_names()
        if misfit := first_misfit(checkpoint["state_dict"], own, expected):
            raise RefusedError(
                f"the checkpoint is of another model: {misfit}; set model.policy.path and "
                f"model.policy.lora to what it was trained with ({self.trainer.ckpt_path})"
            )
        adapters, trained_with = self.spec.lora and asdict(self.spec.lora), checkpoint["policy"]["lora"]
        if adapters != trained_with:  # no shape depends on alpha
            raise RefusedError(
                f"the checkpoint is of another model: its adapters are {trained_with}, here {adapters}; set "
                f"model.policy.lora to what it was trained with ({self.trainer.ckpt_path})"
            )
        if self.trainer.state.fn is not TrainerFn.FITTING:
            return
        for name, now in self.recipe().items():
            before = checkpoint["recipe"].get(name)
            if name == "weighting" and before is not None:
                before = with_present_names(name, before)
            if before != now:
                raise RefusedError(
                    f"cannot resume: the checkpoint was made with {name} {before}, this run has {now}; "
                    f"resume with the configuration it was started with, or start a new run from its export "
                    f"({self.trainer.ckpt_path})"
                )
        refuse_unlike(checkpoint, self)

    def _trained_names(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    # Held-out evaluation

    def evaluate(self, batches: Iterable[list[Problem]]) -> dict[str, float]:
        """Return figures of greedy answers to this rank's problems, with ``sampled_`` of sampled ones."""
        held_out = HeldOut(self.answerer, self.sampling, self.device)
        with torch.no_grad(), self.trainer.precision_plugin.forward_context(), self.failure_saved():
            self.sync()
            for problems in batches:
                held_out.count(problems)
        return held_out.figures()

    def on_validation_epoch_start(self) -> None:
        """Sync the engine and start an evaluation."""
        self.sync()
        self._held_out = HeldOut(self.answerer, self.sampling, self.device)

    def validation_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Answer and count a batch of ``data.val``, which selects the best checkpoint."""
        with self.failure_saved():
            self._held_out.count(problems)

    def on_validation_epoch_end(self) -> None:
        """Log ``val/...``."""
        self.log_held_out("val", self._held_out.figures(), max(self.data.step - 1, 0))

    def on_validation_end(self) -> None:
        """Restart the clock: validation belongs to no step."""
        self.clock.restart()

    def on_test_epoch_start(self) -> None:
        """Sync the engine and start an evaluation."""
        self.on_validation_epoch_start()

    def test_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Answer and count a batch of ``data.test``."""
        self.validation_step(problems, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log ``test/...``."""
        self.log_held_out("test", self._held_out.figures(), 0)

    # Updates

    def on_train_start(self) -> None:
        """Give the loggers the options of the run, and start the clock of the first step."""
        super().on_train_start()
        self.clock.restart()

    def sync(self) -> None:
        """Give the engine the policy's weights if it holds older ones."""
        self.answerer.sync(self.policy, self.data.step)

    @property
    def renders_ahead(self) -> bool:
        """Whether the prompts of the next step are rendered during this one.

        Not on a CPU: two threads that compute with several cores each slow each other down many times.
        """
        return self.device.type != "cpu"

    def gradient_sync(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a backward pass; gradients are exchanged in the last of an optimizer step."""
        block = getattr(self.trainer.strategy, "block_backward_sync", None)
        return nullcontext() if last or block is None else block()

    def apply_gradients(self) -> float:
        """Clip, step the optimizer and its schedule; return the gradient norm before clipping.

        Raises:
            FloatingPointError: the gradient is not finite, on every rank alike; nothing is applied.
        """
        trained = [p for p in self.policy.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if not bool(norm.isfinite()):
            raise FloatingPointError(f"the gradient norm is {norm.item()}")
        if self.optimization.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(trained, self.optimization.gradient_clip, norm)
        optimizer = self.optimizers()
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad(set_to_none=True)  # type: ignore[union-attr]
        torch.clear_autocast_cache()  # its casts of the old weights would serve the next optimizer step
        self.lr_schedulers().step()  # type: ignore[union-attr]
        return norm.item()

    def teardown(self, stage: str) -> None:
        """End the process that checks answers, and after a fit the engine."""
        super().teardown(stage)
        self.answerer.rubric.verifier.close()
        if stage == "fit":
            self.answerer.engine.close()
