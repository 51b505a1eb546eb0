"""vLLM as an engine: a copy of the weights in this process, taken anew from the policy at each sync."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from observer.refusal import refuse_outside
from observer.rollout.engine import Engine, NotFiniteError
from observer.rollout.vllm.process import Served, serve
from observer.rollout.vllm.prompts import vllm_prompts
from observer.rollout.vllm.ranks import Ranks, Request, refuse_ranks, sendable
from observer.rollout.vllm.requests import drawn
from observer.rollout.vllm.results import groups_of
from observer.rollout.vllm.sampling import refuse_without_room, sampling_params, seed_of
from observer.rollout.vllm.sync import Weights
from observer.types import Group, Prompt, Sampling

if TYPE_CHECKING:
    from observer.policy import PolicySpec

CLOSED = "closed by peer"
"""What the library of exchanges says of a rank that has left."""


class VLLM(Engine):
    """Samples with vLLM, in this process, from a copy of the weights that each sync replaces.

    A process has one vLLM engine until it ends, since vLLM cannot make a second one beside the trainer.
    Tokens are drawn by vLLM's own random numbers: a run that goes on draws the same rows, and may draw other
    tokens.
    """

    weights = "own"
    reproducible = "rows"
    if_it_fails = (
        "if memory ran out, lower VLLM.memory_share or VLLM.max_num_seqs; TransformersEngine can go on too"
    )

    def __init__(
        self,
        memory_share: float = 0.4,
        max_num_seqs: int = 256,
        enforce_eager: bool = False,
        dtype: Literal["float32", "bfloat16"] | None = None,
        sleep: bool = True,
        tensor_parallel: int = 1,
    ) -> None:
        """Set what vLLM may take; nothing is imported or loaded before ``start``.

        Args:
            memory_share: of a GPU's memory, what vLLM may fill with weights, keys and values; on a CPU, of
                the memory that is free, what keys and values may take at most. > 0, at most .95.
            max_num_seqs: completions that are drawn at once; at least 1. Others wait.
            enforce_eager: no compilation and no CUDA graphs: a faster start and slower tokens. On a CPU
                always so.
            dtype: of vLLM's copy of the weights; null for that of the policy. With ``precision: bf16-mixed``
                and a policy in float32, ``bfloat16`` draws faster, from weights that are rounded.
            sleep: on a GPU, give its memory back while the policy trains: weights wait in the host's memory.
                On a CPU vLLM never sleeps.
            tensor_parallel: ranks that share one vLLM, each with a part of every layer; a divisor of the
                number of ranks. Those next to each other share, and draw the completions of all of them.

        Raises:
            RefusedError: a number is out of its range.
        """
        refuse_outside(
            "VLLM.memory_share", memory_share, above=0, most=0.95, hint=": the policy needs the rest"
        )
        refuse_outside("VLLM.max_num_seqs", max_num_seqs, 1)
        refuse_outside("VLLM.tensor_parallel", tensor_parallel, 1)
        self.memory_share = memory_share
        self.max_num_seqs = max_num_seqs
        self.enforce_eager = enforce_eager
        self.dtype = dtype
        self.sleep = sleep
        self.tensor_parallel = tensor_parallel
        self._served: Served | None = None
        self._ranks: Ranks | None = None
        self._weights = Weights()

    @property
    def spans_ranks(self) -> bool:
        """Whether ranks share it; see ``Engine``."""
        return self.tensor_parallel > 1

    def refuse_ranks(self, ranks: int) -> None:
        """Refuse a number of ranks that ``tensor_parallel`` does not divide; see ``Engine``."""
        refuse_ranks(self.tensor_parallel, ranks)

    def start(self, policy: PolicySpec) -> None:
        """Start vLLM with the weights of a spec, or take up the engine of this process; see ``Engine``.

        Raises:
            RefusedError: there is no vLLM, it lacks an ability, or this process has an engine of another
                model or with other options.
        """
        there = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.refuse_ranks(torch.distributed.get_world_size() if there else 1)
        options = {
            "gpu_memory_utilization": self.memory_share,
            "max_num_seqs": self.max_num_seqs,
            "enforce_eager": self.enforce_eager,
            "dtype": self.dtype or policy.dtype,
            "enable_sleep_mode": self.sleep and torch.cuda.is_available(),
            "tensor_parallel_size": self.tensor_parallel,
        }
        self._served = serve(policy, options, self.longest)
        self._ranks = Ranks() if self.spans_ranks else None
        self._weights = Weights()

    @property
    def served(self) -> Served:
        """VLLM and what it serves."""
        if self._served is None:
            raise RuntimeError("the engine was not started")
        self._served.refuse_fork()
        return self._served

    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take all weights of the policy, and forget all that was computed with others; see ``Engine``.

        Raises:
            RuntimeError: a weight is missing; the engine is of no use then.
        """
        served = self.served
        with served.undisturbed():
            served.sleep.wake_weights()
            self._weights.replace(served.llm, named_tensors)
        served.drawn_at_random = False
        self.version = version

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw all groups at once; vLLM batches them as its memory allows; see ``Engine``.

        Raises:
            RefusedError: a prompt leaves no room for its completions, or vLLM made another prompt of it.
        """
        served = self.served
        outputs = self._drawn(self._request(prompts, sampling))
        assert outputs is not None
        groups, lost = groups_of(prompts, outputs, sampling, served)
        if lost:
            raise NotFiniteError(groups)
        return groups

    def rest(self) -> None:
        """Sleep until the next ``sync`` or ``generate``, when others have drawn too; see ``Engine``."""
        served = self.served
        while self._ranks is not None and self._drawn(Request()) is not None:
            pass
        with served.undisturbed():
            served.sleep.begin()

    def _request(self, prompts: Sequence[Prompt], sampling: Sampling) -> Request:
        """Return what is asked of vLLM, or why it cannot be, if other ranks are to know."""
        served, rows = self.served, [prompt.problem.id for prompt in prompts]
        try:
            served.refuse_random_weights()
            refuse_without_room(prompts, sampling, served.max_model_len)
            return Request(sampling, rows, vllm_prompts(prompts, served))
        except Exception as error:
            if self._ranks is None:
                raise
            self._ranks.joined(Request(failure=sendable(error)))
            raise

    def _drawn(self, own: Request) -> list[Any] | None:
        """Return vLLM's outputs of a request; None where no rank has one."""
        served, ranks = self.served, self._ranks
        asked, mine = (own, slice(None)) if ranks is None else ranks.joined(own)
        if asked.sampling is None:
            return None
        params = sampling_params(asked.sampling, served.banned_ids, served.end_ids)
        with served.undisturbed(seed_of(asked.rows, asked.sampling)):
            served.sleep.end()
            try:
                outputs = drawn(served.llm, asked.prompts, params)
            except BaseException as error:
                if ranks is None:
                    raise
                ranks.leave()
                if CLOSED in str(error):
                    raise RuntimeError("another rank that shares its vLLM has failed") from None
                raise
        if ranks is not None:
            ranks.refuse_apart(outputs)
        return outputs[mine]

    def close(self) -> None:
        """Let go of vLLM. It stays in this process, for the next ``start``: to end it would end DDP too."""
        self._served = self._ranks = None
