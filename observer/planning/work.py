"""What a fit does, in numbers: read from its options as ``config.yaml`` holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from types import SimpleNamespace
from typing import Any, cast

from observer.objective.micro_batches import cut_groups
from observer.planning.architecture import Architecture, read_architecture
from observer.policy.loading import Lora
from observer.types import Group, RefusedError

BYTES = {"float32": 4, "bfloat16": 2}
STATES = {"AdamW": 2, "Adam": 2, "NAdam": 2, "RAdam": 2, "Adamax": 2, "Lion": 1, "RMSprop": 1, "Adagrad": 1}
"""Numbers that an optimizer keeps of each parameter; another one is counted as AdamW."""
SHARDING = ("ModelParallelStrategy", "FSDPStrategy", "fsdp", "fsdp_cpu_offload")


@dataclass(frozen=True)
class Engine:
    """The engine and the options of it that decide about memory."""

    name: str
    own: bool
    """Whether it has weights of its own, as ``VLLM``."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """Return an option that is a number."""
        given = self.options.get(name)
        return default if given is None else float(given)


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass, at its longest."""

    prompts: int
    rows: int
    """Completions."""
    count: int
    """Passes of an optimizer step on a rank."""


@dataclass(frozen=True)
class Work:
    """What a fit does, and with what."""

    sizes: Architecture
    dtype: int
    """Bytes of a weight."""
    mixed: bool
    """Whether products are computed in bfloat16 from weights in float32."""
    lora: Lora | None
    frozen_tower: bool
    checkpointing: bool
    plain_pass: bool
    pixels: int | None
    """Of a picture at most; None for what fits into the longest prompt."""
    reference: bool
    group: int
    prompt: int
    completion: int
    prompts_per_step: int
    updates: int
    micro_batch_tokens: int
    micro_batch: int | None
    entropy_gradients: bool
    states: int
    averaged: bool
    """Whether a second copy of the weights is kept, their average."""
    engine: Engine
    sharded: bool
    ranks: int
    nodes: int
    on_cpu: bool
    validates: bool
    exported: int | None
    """Bytes of a weight in the export at the end; None where there is none."""
    rollouts: int | None

    @property
    def compute(self) -> int:
        """Bytes of a number in products."""
        return 2 if self.mixed else self.dtype

    @property
    def shards(self) -> int:
        """Parts that weights, gradients and optimizer state are cut into."""
        return self.ranks if self.sharded else 1

    @property
    def prompts(self) -> int:
        """Prompts of a rank and step."""
        return max(1, self.prompts_per_step // self.ranks)

    @property
    def visual(self) -> int:
        """Visual tokens of a prompt: one picture of the most pixels, as far as the prompt holds it."""
        side = self.sizes.tower.patch * self.sizes.tower.merge
        most = self.prompt if self.pixels is None else ceil(self.pixels / side**2)
        return min(most, self.prompt)

    def largest_pass(self) -> Pass:
        """Return the largest pass of an update where all prompts and completions are at their longest."""
        ids = range(self.completion)
        group = SimpleNamespace(
            prompt=SimpleNamespace(ids=range(self.prompt)),
            completions=[SimpleNamespace(ids=ids)] * self.group,
            longest=self.prompt + self.completion,
        )
        groups = [group] * max(1, self.prompts // self.updates)
        cut = cut_groups(cast("Sequence[Group]", groups), self.micro_batch_tokens, self.micro_batch)
        found = [(len(pieces), sum(part.stop - part.start for _, part in pieces)) for pieces in cut]
        prompts, rows = max(found, key=lambda each: each[0] * self.prompt + each[1] * self.completion)
        return Pass(prompts, rows, len(found))

    def with_engine(self, **options: Any) -> Work:
        """Return the same with other options of its engine."""
        return replace(self, engine=replace(self.engine, options={**self.engine.options, **options}))


def read_work(options: Mapping[str, Any], ranks: int | None = None) -> Work:
    """Read what a fit does.

    Args:
        options: all of a fit, as its ``config.yaml`` holds them.
        ranks: GPUs; None for those of ``trainer.devices`` and ``trainer.num_nodes``, or else those of this
            machine.

    Raises:
        RefusedError: the learner has no such options, or the model's sizes are not on this machine.
    """
    model, data, trainer = options["model"], options["data"], options["trainer"]
    lacking = [name for name in ("group_size", "micro_batch_tokens", "kl") if name not in model]
    if lacking:
        raise RefusedError(
            f"--plan: the learner {options.get('learner')} has no option {lacking[0]}; only fits that draw "
            f"completions are planned"
        )
    policy = model["policy"]
    sizes, lora = read_architecture(policy["path"]), policy["lora"]
    ranks = ranks or _devices(trainer)
    updates = model["updates_per_rollout"]
    averages = [name for name in map(_class, _each(trainer["callbacks"])) if name.endswith("WeightAveraging")]
    return Work(
        sizes=sizes,
        dtype=BYTES[policy["dtype"]],
        mixed=str(trainer["precision"]) == "bf16-mixed",
        lora=lora and Lora(**lora),
        frozen_tower=policy["freeze_vision"] or (lora is not None and _spares_tower(sizes, Lora(**lora))),
        checkpointing=policy["gradient_checkpointing"],
        plain_pass=policy["logprob_pass"] == "plain",
        pixels=policy["max_pixels"],
        reference=model["kl"] is not None,
        group=model["group_size"],
        prompt=min(model["max_prompt_tokens"], sizes.longest),
        completion=model["max_tokens"],
        prompts_per_step=data["prompts_per_step"],
        updates=updates,
        micro_batch_tokens=model["micro_batch_tokens"],
        micro_batch=model["micro_batch"],
        entropy_gradients=model["entropy_bonus"] > 0,
        states=_states(model["optimizer"]),
        averaged=bool(averages),
        engine=_engine(model["engine"]),
        sharded=_class(trainer["strategy"]) in SHARDING,
        ranks=ranks,
        nodes=int(trainer["num_nodes"]),
        on_cpu=trainer["accelerator"] == "cpu",
        validates=(data["val"], data["val_fraction"]) != (None, None),
        exported=_exported(options.get("report"), 4 if lora else BYTES[policy["dtype"]]),
        rollouts=_rollouts(trainer, updates, data["steps_per_epoch"]),
    )


def _spares_tower(sizes: Architecture, lora: Lora) -> bool:
    from observer.planning.parameters import adapters, of_tower, parameters

    return not adapters(of_tower(parameters(sizes)), lora)


def _devices(trainer: Mapping[str, Any]) -> int:
    """Return the ranks that a trainer's options name, or the accelerators of this machine; at least 1."""
    given = trainer["devices"]
    if isinstance(given, list):
        found = len(given)
    elif str(given).isdigit():
        found = int(given)
    elif trainer["accelerator"] == "cpu":
        found = 1
    else:
        import torch

        found = max(1, torch.cuda.device_count())
    return found * int(trainer["num_nodes"])


def _class(given: Any) -> str:
    """Return the name of a class that options name: its path, or a word; '' for none."""
    path = given.get("class_path", "") if isinstance(given, Mapping) else given
    return str(path or "").rpartition(".")[2]


def _each(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def _states(optimizer: Any) -> int:
    name = _class(optimizer)
    options = optimizer.get("init_args", {}) if isinstance(optimizer, Mapping) else {}
    if name == "SGD":
        return int(bool(options.get("momentum")))
    return STATES.get(name, 2) + int(bool(options.get("amsgrad")))


def _engine(given: Mapping[str, Any] | None) -> Engine:
    from pkgutil import resolve_name

    if given is None:
        return Engine("TransformersEngine", own=False)
    found = resolve_name(given["class_path"])
    return Engine(found.__name__, found.weights == "own", given.get("init_args", {}))


def _exported(report: Any, size: int) -> int | None:
    given = report.get("init_args", {}) if isinstance(report, Mapping) else {}
    if not given.get("export", True):
        return None
    return BYTES.get(str(given.get("export_dtype")), size)


def _rollouts(trainer: Mapping[str, Any], updates: int, steps_per_epoch: int | None) -> int | None:
    limits = []
    if trainer["max_steps"] > 0:
        limits.append(trainer["max_steps"] // updates)
    if trainer["max_epochs"] is not None and trainer["max_epochs"] > 0 and steps_per_epoch:
        limits.append(trainer["max_epochs"] * steps_per_epoch)
    return min(limits, default=None)
