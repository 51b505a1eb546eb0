"""Optimizer, learning rate over the run, gradient clipping and micro-batch size."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from observer.objective import LearningRate, ParameterGroups, grouped
from observer.refusal import refuse_outside
from observer.types import RefusedError


def default_optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with the learning rate of the Observe-R1 release, 1e-6, and no weight decay."""
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)


@dataclass(frozen=True)
class Optimization:
    """Options of an optimizer step, the same for every learner; see the learners for each.

    Raises:
        RefusedError: a value is out of its range.
    """

    optimizer: OptimizerCallable
    learning_rate: LearningRate
    gradient_clip: float | None
    micro_batch_tokens: int
    micro_batch: int | None
    updates_per_rollout: int = 1
    parameter_groups: ParameterGroups | None = None
    join: bool = False
    """Whether micro-batches share passes: the loss counts by micro-batch, and memory is that of tokens."""

    def __post_init__(self) -> None:
        refuse_outside("model.gradient_clip", self.gradient_clip, above=0, finite=False, hint=", or null")
        refuse_outside("model.micro_batch_tokens", self.micro_batch_tokens, 1)
        refuse_outside("model.micro_batch", self.micro_batch, 1, hint=", or null")
        refuse_outside("model.updates_per_rollout", self.updates_per_rollout, 1)

    def warn_of_cut_groups(self, group_size: int) -> None:
        """Say what it costs that ``micro_batch`` is smaller than a group, where it cuts passes."""
        if self.join or self.micro_batch is None or self.micro_batch >= group_size:
            return
        times = math.ceil(group_size / self.micro_batch)
        rank_zero_warn(
            f"model.micro_batch is {self.micro_batch} and model.group_size {group_size}: the prompt and the "
            f"pictures of a group are computed {times} times in each pass over it, not once; set "
            f"model.micro_batch to null: model.micro_batch_tokens ({self.micro_batch_tokens}) bounds memory, "
            "and cuts only groups that alone are larger"
        )

    def configured(self, policy: torch.nn.Module, steps: int) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and its learning-rate schedule, as Lightning takes them.

        Args:
            policy: what of it needs gradients is trained.
            steps: optimizer steps of the run.

        Raises:
            RefusedError: it cannot be made over these parameters, or the learner's step is none of its kind.
        """
        optimizer = self._made(policy)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.learning_rate.factor(step, steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def described(self, policy: torch.nn.Module | None) -> str:
        """Return the optimizer with its options, the same in every process.

        Args:
            policy: what is trained, which groups need to be known by; None where it is not loaded.
        """
        if self.parameter_groups is not None and policy is not None:
            optimizer = self._made(policy)
        else:
            optimizer = self.optimizer([torch.nn.Parameter(torch.zeros(1))])
        return f"{type(optimizer).__name__} {optimizer.defaults}"

    def _made(self, policy: torch.nn.Module) -> torch.optim.Optimizer:
        named = {name: parameter for name, parameter in policy.named_parameters() if parameter.requires_grad}
        given: list[Any] = list(named.values())
        rates: list[float] = []
        if self.parameter_groups is not None:
            given = grouped(self.parameter_groups, named)
            rates = [group.pop("rate", 1.0) for group in given]
        try:
            optimizer = self.optimizer(given)
        except Exception as error:
            raise RefusedError(
                f"model.optimizer cannot be made over the {len(named)} parameters that train: {error}; "
                "change its init_args, or use another, such as torch.optim.AdamW"
            ) from error
        _refuse_unfit(optimizer)
        optimizer.register_load_state_dict_post_hook(_own_state)
        for group, rate in zip(optimizer.param_groups, rates, strict=False):
            group["lr"] = group["lr"] * rate
        return optimizer


def _own_state(optimizer: torch.optim.Optimizer) -> None:
    """Copy a restored state, parameter by parameter: torch takes the tensors of a file as they are."""
    for parameter, held in optimizer.state.items():
        optimizer.state[parameter] = _copied(held)


def _copied(held: Any) -> Any:
    """Return a copy with memory of its own; of a part of a tensor, that part alone is copied."""
    if isinstance(held, torch.Tensor):
        return held.clone()
    if isinstance(held, dict):
        return {name: _copied(value) for name, value in held.items()}
    if isinstance(held, list | tuple):
        return type(held)(map(_copied, held))
    return held


def _refuse_unfit(optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that the learner's steps or its schedule cannot go with.

    Raises:
        RefusedError: names the optimizer, and why.
    """
    name, other = type(optimizer).__name__, "use another, such as torch.optim.AdamW"
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise RefusedError(f"model.optimizer gave a {name}, which is no torch.optim.Optimizer; {other}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise RefusedError(
            f"model.optimizer is {name}, whose step computes the loss anew (a closure), while the "
            f"completions of a rollout are drawn once: {other}"
        )
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise RefusedError(
            f"model.optimizer is {name}, for sparse gradients; those of a policy are dense: {other}"
        )
    if any(group.get("lr") is None for group in optimizer.param_groups):
        raise RefusedError(
            f"model.optimizer is {name} without a learning rate 'lr', which model.learning_rate scales; "
            f"give it one as init_args.lr (transformers' Adafactor: with relative_step false), or {other}"
        )
