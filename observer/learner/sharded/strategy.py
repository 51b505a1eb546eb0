"""Lightning's ``ModelParallelStrategy`` for a policy that is cut over ranks, with the checkpoints of any run.

A checkpoint is one file, as a run on one process writes it: whole weights, whole optimizer state. Rank 0
writes it tensor by tensor, each gathered when its turn comes; for reading, every rank maps the file and
copies its parts. So a run goes on with another number of ranks, and export, predictions and check sums know
no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry

from observer.policy.sharded.sharding import Sharding, part_of
from observer.run.archive import write_archive
from observer.run.checkpoints import read_checkpoint, refuse_other_version
from observer.run.files import remove_unfinished, sync_folder, whole_file, writing
from observer.run.waiting import waiting
from observer.types import RefusedError


class Sharded(ModelParallelStrategy):
    """FSDP2 over all ranks. Made of a ``ModelParallelStrategy`` by ``settle``."""

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """False, as everywhere else: the policy is cut before."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """True, as everywhere else."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the weights, each of them cut: nothing is gathered before it is written."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return what an optimizer remembers, cut as its parameters are."""
        inner = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return inner.state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint on rank 0, from the parts of all; the file before is there until it is whole.

        Raises:
            TypeError: there are storage options.
            WriteError: the disk is full, for example; the file before is as it was.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} takes no storage_options, got {storage_options!r}")
        with torch.no_grad(), _written(Path(filepath), self.is_global_zero) as file:
            write_archive(checkpoint, file)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Map a checkpoint: tensors and builtins, and nothing that would run code.

        A ``CheckpointIO`` of a run reads by itself; Lightning's own would read all of it into memory.

        Raises:
            RefusedError: it is of a run, and of no version of Lightning that a run can go on from.
        """
        if type(self.checkpoint_io) is not TorchCheckpointIO:
            return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=True)
        with waiting("a checkpoint is read", lambda: str(checkpoint_path)):
            checkpoint: dict[str, Any] = read_checkpoint(checkpoint_path)
        if isinstance(checkpoint, dict) and {"state_dict", "loops", "callbacks"} & checkpoint.keys():
            refuse_other_version(checkpoint, checkpoint_path)
        return checkpoint

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give each weight this rank's part of its values."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        parts = {
            name: part_of(value, own[name]) if name in own else value
            for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give each optimizer this rank's part of what it remembered, whatever the ranks were then."""
        for optimizer, held in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            state = {  # it stays in the file: ``Optimization`` has it copied parameter by parameter
                place: {name: _own_part(value, parameters[place]) for name, value in remembered.items()}
                for place, remembered in held["state"].items()
            }
            optimizer.load_state_dict({**held, "state": state})


def _own_part(value: Any, parameter: torch.Tensor) -> Any:
    """Return this rank's part of what is remembered of each element of a parameter; all of anything else."""
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
        return value
    return part_of(value, parameter)


@contextmanager
def _written(path: Path, writes: bool) -> Iterator[IO[bytes] | None]:
    if not writes:
        yield None
        return
    with whole_file(path, "wb") as file:
        remove_unfinished(path.parent)
        yield file
    with writing(path):
        sync_folder(path.parent)


# Its class, by name: as ``trainer.strategy: ModelParallelStrategy``, which is asked for in small letters.
StrategyRegistry.register("modelparallelstrategy", ModelParallelStrategy, "FSDP2", override=True)


def settle(trainer: lightning.Trainer) -> None:
    """Turn a trainer's ``ModelParallelStrategy`` into ``Sharded``, over all of its ranks.

    Args:
        trainer: before its processes meet; one with another strategy stays as it is.

    Raises:
        RefusedError: it is of a class below that one, or cuts single layers.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, ModelParallelStrategy) or isinstance(strategy, Sharded):
        return
    if type(strategy) is not ModelParallelStrategy:
        raise RefusedError(
            f"trainer.strategy is {type(strategy).__name__}, and a policy is cut by "
            f"ModelParallelStrategy itself; use that"
        )
    ranks = trainer.world_size
    for option, fits in (("data_parallel_size", ranks), ("tensor_parallel_size", 1)):
        if (given := getattr(strategy, f"_{option}")) not in ("auto", fits):
            raise RefusedError(
                f"trainer.strategy is ModelParallelStrategy with {option} {given}; a policy is cut over all "
                f"processes, and no layer among some: set data_parallel_size to {ranks} and "
                f"tensor_parallel_size to 1, or leave both out"
            )
        setattr(strategy, f"_{option}", fits)
    strategy.__class__ = Sharded


def sharding_of(trainer: lightning.Trainer | None) -> Sharding | None:
    """Return how a trainer's policy is cut; None for not at all."""
    if trainer is None or not isinstance(trainer.strategy, Sharded):
        return None
    mixed = trainer.precision == "bf16-mixed"
    return Sharding(
        trainer.strategy.device_mesh["data_parallel"],
        trainer.strategy.root_device,
        torch.bfloat16 if mixed else None,
    )
