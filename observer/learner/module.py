"""The base of both learners: checks, weights, optimizer, checkpoints and held-out evaluation.

``ObserveLearner`` trains a policy by reinforcement and ``WarmStart`` by imitation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, Self

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from observer.answering import Answerer
from observer.learner.averaging import (
    averaging_recipe,
    keep_frozen,
    refuse_averaging,
    refuse_no_last_epoch,
    start_average,
)
from observer.learner.checkpointing import add_entries, loaded, refuse_unfit
from observer.learner.figures import refuse_unknown_monitors, watch_when_measured
from observer.learner.former_methods import refuse_former_methods
from observer.learner.held_out import HeldOutModule
from observer.learner.optimization import Optimization
from observer.learner.ranks import OverRanks, share_buckets
from observer.learner.rebuilding import given_options
from observer.learner.sharded.strategy import settle, sharding_of
from observer.learner.trainer_options import (
    prepare_fast_dev_run,
    refuse_portions,
    refuse_sizes,
    refuse_spent_time,
    refuse_trainer_options,
    refuse_unsharded,
)
from observer.objective import update_norm
from observer.policy import Policy, PolicySpec
from observer.policy.allocation import keep_freed_memory
from observer.policy.saving import whole
from observer.policy.sharded.sharding import local
from observer.refusal import refuse_outside
from observer.run.waiting import waiting
from observer.seeding import stable_seed
from observer.strategies import described
from observer.types import RefusedError, Sampling


class PolicyModule(HeldOutModule):
    """A policy with its answerer, its optimizer, its checkpoints and its held-out evaluation."""

    given: dict[str, Any]
    """What the constructor was called with, by name: checkpoints hold it."""
    loaded_from: object = None
    """The checkpoint of ``load_from_checkpoint``."""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Note the options, also those of a subclass."""
        made = super().__new__(cls)
        vars(made)["given"] = given_options(cls, arguments, options)
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_former_methods(cls)

    def __init__(
        self,
        spec: PolicySpec,
        answerer: Answerer,
        sampling: Sampling,
        optimization: Optimization,
        held_out_samples: int = 1,
    ) -> None:
        """Check the options; weights are loaded later, in ``configure_model``.

        Args:
            spec: which model, and how to load it.
            answerer: draws completions from the policy and scores them.
            sampling: how completions are drawn in training, ``group_size`` each; its seed is the run's.
            optimization: optimizer, learning rate, clipping and micro-batch size.
            held_out_samples: completions per held-out problem at temperature 1.

        Raises:
            RefusedError: a value of ``sampling`` or the number of samples is out of its range.
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
        refuse_outside("model.held_out_samples", held_out_samples, 1)
        self.automatic_optimization = False
        self.strict_loading = spec.lora is None  # with LoRA, checkpoints hold only adapters
        self.spec = spec
        self.answerer = answerer
        self.sampling = sampling
        self.optimization = optimization
        self.held_out_samples = held_out_samples

    @property
    def over_ranks(self) -> OverRanks:
        """Sums, means and joins over all ranks."""
        return OverRanks(self.trainer)

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
            raise RefusedError(
                "the trainer has no end; set trainer.max_steps (or max_epochs), also beside trainer.max_time"
            )
        return min(limits)

    def configure_callbacks(self) -> list[lightning.Callback]:
        """Check the trainer's options before Lightning does, whose messages name none of ours."""
        refuse_trainer_options(self.trainer, self.answerer.engine)
        settle(self.trainer)
        return []

    def setup(self, stage: str) -> None:
        """Check trainer, data and options against each other, before weights are loaded.

        Raises:
            RefusedError: they do not go together; the message names the reason and the remedy.
        """
        refuse_trainer_options(self.trainer, self.answerer.engine)  # a subclass may have its own callbacks
        if self.trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        share_buckets(self.trainer)
        refuse_averaging(self.trainer)
        if stage == "fit" and self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            prepare_fast_dev_run(self.trainer, self.optimization.updates_per_rollout)
        self.data.admit(
            self.answerer.renderer, self.answerer.rubric.verifier, Path(self.trainer.default_root_dir)
        )
        if stage == "fit":
            refuse_portions(self.trainer, self.data)
            refuse_sizes(self.trainer, self.data, self.optimization.updates_per_rollout)
            self.optimization.warn_of_cut_groups(self.sampling.group_size)
            refuse_unknown_monitors(self)
            watch_when_measured(self)
            refuse_no_last_epoch(self.trainer, self.horizon, self.data.steps_per_epoch)
            self.data.horizon = self.horizon
            self.data.draw(0)  # a schedule that cannot draw is refused here, before an evaluation

    def configure_model(self) -> None:
        """Load the weights, or draw them from the seed, and start the engine."""
        if not hasattr(self, "policy"):
            self.policy = self.new_policy()
            rank_zero_info(self.policy.described())
        if not self.answerer.started:  # or no longer: a fit closes an engine with weights of its own
            self.answerer.start(self.spec, self.policy, max_tokens=self.sampling.max_tokens)
            self.answerer.engine.version = -1
        start_average(self)

    def new_policy(self) -> Policy:
        """Return the policy before training: loaded, or drawn from the seed; cut as the trainer asks."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_seed(self.sampling.seed, "weights"))
            return Policy(self.spec, self.answerer.renderer.processor, sharding_of(self.attached))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer over what trains, and its schedule in optimizer steps."""
        refuse_unsharded(self.trainer, self.policy)
        steps = self.horizon * self.optimization.updates_per_rollout
        return self.optimization.configured(self.policy, steps)

    # Checkpoints

    def recipe(self) -> dict[str, Any]:
        """Return the options that must be the same when a run is resumed, as builtins."""
        rubric, sampling, groups = self.answerer.rubric, self.sampling, self.optimization.parameter_groups
        return {
            "seed": sampling.seed,
            "sampling": {
                "max_tokens": sampling.max_tokens,
                "min_tokens": sampling.min_tokens,
                "temperature": sampling.temperature,
            },
            "rewards": {name: described(reward) for name, reward in rubric.rewards.items()},
            "response_format": described(rubric.response_format),
            "optimizer": self.optimization.described(getattr(self, "policy", None)),
            "parameter_groups": groups and described(groups),
            "learning_rate": described(self.optimization.learning_rate),
            "gradient_clip": self.optimization.gradient_clip,
            "averaging": averaging_recipe(self.attached),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save policy, recipe and options, with LoRA only trained weights; see ``add_entries``."""
        add_entries(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the checkpoint against this learner, and let the next sync hand its weights to the engine.

        Raises:
            RefusedError: the checkpoint was made by no fit, its weights are those of another model, or a
                resumed fit has another recipe; names the difference.
        """
        self.answerer.engine.version = -1
        refuse_unfit(checkpoint, self)
        refuse_spent_time(self.attached, checkpoint)

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        """Load weights; the model is made first where there is none, as after a fit in other processes."""
        self.configure_model()
        return super().load_state_dict(state_dict, *arguments, **options)

    @_restricted_classmethod
    def load_from_checkpoint(
        cls,  # noqa: N805 - it is a class method
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **options: Any,
    ) -> Self:
        """Return a learner with the options and the trained weights of a checkpoint; ``answer`` generates.

        With an average of the weights (EMA), the weights are the average. The optimizer is in no checkpoint:
        give one to train on.

        Args:
            checkpoint_path: a ``.ckpt`` of a run.
            map_location: the device its tensors go to, as ``torch.load`` takes it; None for that which they
                were saved from, or the CPU.
            hparams_file: None: the checkpoint holds the options.
            strict: None or True: weights are never loaded in part. With LoRA a checkpoint holds the adapters.
            weights_only: None or True: nothing that could run code is read.
            options: of the learner, in place of those it was trained with, such as ``max_tokens=64``.

        Raises:
            RefusedError: the file is damaged, of no fit, of another class or model; or an option is refused.
        """
        if hparams_file is not None or strict is False or weights_only is False:
            raise RefusedError(
                f"load_from_checkpoint: hparams_file is {hparams_file!r}, strict {strict}, weights_only "
                f"{weights_only}; leave them out: its options are in it, weights are loaded whole, "
                f"and no pickled object is read"
            )
        found: Self = loaded(cls, checkpoint_path, map_location, options)
        return found

    # Updates

    def on_train_start(self) -> None:
        """Give the loggers the options of the run, and start the clock of the first step."""
        super().on_train_start()
        self.clock.restart()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Count logged steps as rollouts: on resuming, Lightning loses one if no validation is due there."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.data.step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step; keep frozen weights as they are where weights are averaged."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        keep_frozen(self)

    def on_train_end(self) -> None:
        """Let the next sync hand over the average, which is the model from now on."""
        self.forget_other_weights()

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

    def manual_backward(self, loss: torch.Tensor, *arguments: Any, **options: Any) -> None:
        """Add up gradients; ranks wait for each other's in here, or where gradients are used first."""
        with waiting("a backward pass, in which ranks exchange gradients", self._in_step):
            super().manual_backward(loss, *arguments, **options)

    def _in_step(self) -> str:
        return f"step {self.data.step}, {self.trainer.world_size} ranks"

    def apply_gradients(self) -> dict[str, float]:
        """Clip, and step the optimizer and its schedule.

        Returns:
            ``gradient_norm``, before clipping, and ``update_norm``; see ``observer.objective.update_norm``.

        Raises:
            FloatingPointError: the gradient is not finite, on every rank alike; nothing is applied.
        """
        trained = [p for p in self.policy.parameters() if p.grad is not None]
        with waiting("the gradients of all ranks", self._in_step):
            norm = whole(torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]))
            finite = bool(norm.isfinite())
        if not finite:
            raise FloatingPointError(f"the gradient norm is {norm.item()}")
        if self.optimization.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(trained, self.optimization.gradient_clip, norm)
        optimizer = self.optimizers()
        with update_norm([local(parameter) for parameter in trained]) as moved:
            optimizer.step()  # type: ignore[union-attr]
        if self.policy.sharding is not None:
            moved.value = math.sqrt(self.over_ranks.sum(moved.value**2))
        optimizer.zero_grad(set_to_none=True)  # type: ignore[union-attr]
        torch.clear_autocast_cache()  # its casts of the old weights would serve the next optimizer step
        self._step_rates("step")
        return {"gradient_norm": norm.item(), "update_norm": moved.value}

    def on_train_epoch_end(self) -> None:
        """Step a learning rate that goes by epochs, as that of ``StochasticWeightAveraging``."""
        self._step_rates("epoch")

    def _step_rates(self, interval: str) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval:
                config.scheduler.step()  # type: ignore[call-arg]

    def teardown(self, stage: str) -> None:
        """End the process that checks answers, and after a fit the engine."""
        super().teardown(stage)
        self.answerer.rubric.verifier.close()
        if stage == "fit":
            self.answerer.engine.close()
            self.answerer.started = self.answerer.engine.weights != "own"
