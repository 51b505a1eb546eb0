"""Ranks that share one vLLM: each holds a part of every layer, and asks it for the prompts of all.

vLLM's external launcher makes a worker and a scheduler in each rank. Nothing keeps them together but that
all are asked the same, in the same order, and draw by the same numbers. So what ranks ask is exchanged before
each call, pictures as they were decoded, and after it whether all have drawn the same tokens.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from observer.run.waiting import waiting
from observer.types import RefusedError, Sampling


@dataclass(frozen=True)
class Request:
    """What a rank asks vLLM in one call."""

    sampling: Sampling | None = None
    """How completions are drawn; None of a rank that asks no more until the next sync or call."""
    rows: Sequence[str] = ()
    """Ids of the prompts' problems."""
    prompts: Sequence[dict[str, Any]] = ()
    """In vLLM's terms."""
    failure: Exception | None = None
    """Why it cannot ask."""


class Ranks:
    """The ranks that share a vLLM, this one among them. Each method is called by all of them or by none."""

    def __init__(self) -> None:
        """Take vLLM's own groups of this process; it was started."""
        from vllm.distributed import parallel_state

        self._tp: Any = parallel_state.get_tp_group()

    def joined(self, own: Request) -> tuple[Request, slice]:
        """Return what all ranks ask, by rank, and which of its prompts are this one's.

        Args:
            own: what this rank asks.

        Raises:
            RefusedError: a rank was refused what it asks.
            RuntimeError: a rank has failed, or they ask for different samplings.
        """
        requests: list[Any] = [None] * self._tp.world_size
        with waiting("other ranks, with which it shares a vLLM", f"ranks {self._tp.ranks}"):
            torch.distributed.all_gather_object(requests, own, group=self._tp.cpu_group)
        if own.failure is not None:
            raise own.failure
        for rank, request in zip(self._tp.ranks, requests, strict=True):
            if request.failure is not None:
                raise type(request.failure)(f"rank {rank}: {request.failure}")
        samplings = list(dict.fromkeys(one.sampling for one in requests if one.sampling is not None))
        if len(samplings) > 1:
            raise RuntimeError(f"ranks {self._tp.ranks} share a vLLM and ask for {samplings} at once")
        begin = sum(len(one.rows) for one in requests[: self._tp.rank_in_group])
        return Request(
            samplings[0] if samplings else None,
            [row for one in requests for row in one.rows],
            [prompt for one in requests for prompt in one.prompts],
        ), slice(begin, begin + len(own.rows))

    def refuse_apart(self, outputs: Sequence[Any]) -> None:
        """Refuse tokens of ranks that have drawn different ones: each then has read what others computed.

        Args:
            outputs: vLLM's, of all ranks' prompts.

        Raises:
            RuntimeError: they differ.
        """
        ids = [list(one.token_ids) for output in outputs for one in output.outputs]
        own = torch.tensor([zlib.crc32(repr(ids).encode())])
        of_all = [torch.zeros_like(own) for _ in self._tp.ranks]
        torch.distributed.all_gather(of_all, own, group=self._tp.cpu_group)
        if len({int(one) for one in of_all}) > 1:
            raise RuntimeError(f"ranks {self._tp.ranks} share a vLLM and have drawn different tokens")

    def leave(self) -> None:
        """Let the others fail too, which would wait for this one's part of a layer; vLLM ends with it."""
        self._tp.destroy()
        self._tp.device_communicator = None  # it holds the groups, whose connections end with them
        gc.collect()


def over_sockets() -> None:
    """Let ranks on CPUs exchange their parts over sockets, and not through memory that they share.

    vLLM names that memory by the ranks alone, so two runs on a machine would write into each other's; and who
    waits there waits for ever when another rank has failed.
    """
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

    CpuCommunicator._all_group_ranks_share_shm_group_name = lambda _: False


def sendable(error: Exception) -> Exception:
    """Return a failure as other ranks raise it: of a class that they can make."""
    if isinstance(error, RefusedError):
        return type(error)(str(error))
    return RuntimeError(f"{type(error).__name__}: {error}")


def refuse_ranks(size: int, ranks: int) -> None:
    """Refuse to share vLLM among ranks that there are not.

    Args:
        size: ranks per vLLM.
        ranks: of the run.

    Raises:
        RefusedError: says which numbers would do.
    """
    if ranks % size:
        fit = ", ".join(str(number) for number in range(1, ranks + 1) if ranks % number == 0)
        raise RefusedError(
            f"VLLM.tensor_parallel is {size}, and {_counted(ranks)} cannot share it; set it to {fit}, or "
            f"trainer.devices to a multiple of {size}"
        )


def refuse_heads(size: int, config: Any) -> None:
    """Refuse to cut layers into parts that they have no equal ones of.

    Args:
        size: ranks per vLLM.
        config: of the model.

    Raises:
        RefusedError: names the number that does not divide.
    """
    text, vision = config.get_text_config(), config.vision_config
    wide = getattr(vision, "intermediate_size", None) or int(vision.hidden_size * vision.mlp_ratio)
    cut = {
        "attention heads": text.num_attention_heads,
        "key and value heads": text.num_key_value_heads,
        "intermediate size": text.intermediate_size,
        "vision heads": vision.num_heads,
        "vision intermediate size": wide,
    }
    for name, number in cut.items():
        shared = name.startswith("key") and size % number == 0  # then each rank has a copy of one
        if number % size and not shared:
            raise RefusedError(
                f"VLLM.tensor_parallel is {size}, and the model's {name} ({number}) does not divide by it; "
                f"set it to a number that divides {', '.join(map(str, cut.values()))}"
            )


def _counted(ranks: int) -> str:
    return f"{ranks} processes" if ranks > 1 else "one process"
