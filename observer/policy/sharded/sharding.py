"""Cuts a policy over ranks: each holds a part of every weight, its gradient and its optimizer state (FSDP2).

Reference:
    https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from observer.run.archive import rows_of


@dataclass(frozen=True)
class Sharding:
    """How a policy is cut."""

    mesh: Any
    """A ``DeviceMesh`` of one dimension: the ranks."""
    device: torch.device
    """Where this rank's parts are."""
    compute: torch.dtype | None = None
    """The type in which layers are gathered and compute; None for that of their weights."""

    @property
    def ranks(self) -> int:
        """Among how many a policy is cut."""
        size: int = self.mesh.size()
        return size

    @property
    def writes(self) -> bool:
        """Whether this rank writes what all have gathered."""
        first: bool = self.mesh.get_local_rank() == 0
        return first

    def cut(self, policy: nn.Module, layers: list[nn.Module]) -> None:
        """Cut each layer, gathered when it computes, and then what is left, gathered for a pass.

        What has no memory yet gets it here, for this rank's parts alone; its values are undefined.

        Args:
            policy: its ``forward`` is the only way into the model; in place.
            layers: decoder layers and vision blocks, in it.
        """
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # slow to import

        # Hidden states keep their type, as under autocast: only products are in the type of a layer's
        # weights. Gradients are added up in float32.
        of_layers = MixedPrecisionPolicy(self.compute, torch.float32, cast_forward_inputs=False)
        of_rest = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
        for layer in layers:
            fully_shard(layer, mesh=self.mesh, mp_policy=of_layers)
        fully_shard(policy, mesh=self.mesh, mp_policy=of_rest)
        policy._apply(lambda tensor: _on_device(tensor, self.device))  # type: ignore[no-untyped-call]


def _on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device)


def is_sharded(tensor: Any) -> bool:
    """Return whether this rank holds a part of a tensor alone."""
    return hasattr(tensor, "full_tensor")


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this rank holds of a tensor, in the same memory, without gradient."""
    held: Any = tensor.detach()
    part: torch.Tensor = held.to_local() if is_sharded(held) else held
    return part


def part_of(whole: torch.Tensor, like: Any) -> torch.Tensor:
    """Return this rank's part of a whole tensor, in the memory of that one if it can be.

    Args:
        whole: on all ranks.
        like: a tensor of its shape; where it is not sharded, ``whole`` is returned.
    """
    if not is_sharded(like):
        return whole
    from torch.distributed.tensor import DTensor

    part = whole[rows_of(like)].to(like.device)
    options = {"shape": like.shape, "stride": like.stride(), "run_check": False}
    cut: torch.Tensor = DTensor.from_local(part, like.device_mesh, like.placements, **options)
    return cut
