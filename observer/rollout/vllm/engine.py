"""vLLM as an engine: a copy of the weights in this process, taken anew from the policy at each sync."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import torch

from observer.refusal import refuse_outside
from observer.rollout.engine import Engine, NotFiniteError
from observer.rollout.vllm.process import Served, serve
from observer.rollout.vllm.prompts import vllm_prompts
from observer.rollout.vllm.requests import drawn
from observer.rollout.vllm.results import groups_of
from observer.rollout.vllm.sampling import refuse_without_room, sampling_params, seed_of
from observer.rollout.vllm.sync import Weights
from observer.types import Group, Prompt, Sampling

if TYPE_CHECKING:
    from observer.policy import PolicySpec


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

        Raises:
            RefusedError: a number is out of its range.
        """
        refuse_outside(
            "VLLM.memory_share", memory_share, above=0, most=0.95, hint=": the policy needs the rest"
        )
        refuse_outside("VLLM.max_num_seqs", max_num_seqs, 1)
        self.memory_share = memory_share
        self.max_num_seqs = max_num_seqs
        self.enforce_eager = enforce_eager
        self.dtype = dtype
        self.sleep = sleep
        self._served: Served | None = None
        self._weights = Weights()

    def start(self, policy: PolicySpec) -> None:
        """Start vLLM with the weights of a spec, or take up the engine of this process; see ``Engine``.

        Raises:
            RefusedError: there is no vLLM, it lacks an ability, or this process has an engine of another
                model or with other options.
        """
        options = {
            "gpu_memory_utilization": self.memory_share,
            "max_num_seqs": self.max_num_seqs,
            "enforce_eager": self.enforce_eager,
            "dtype": self.dtype or policy.dtype,
            "enable_sleep_mode": self.sleep and torch.cuda.is_available(),
        }
        self._served = serve(policy, options, self.longest)
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
        served.refuse_random_weights()
        refuse_without_room(prompts, sampling, served.max_model_len)
        params = sampling_params(sampling, served.banned_ids, served.end_ids)
        with served.undisturbed(seed_of(prompts, sampling)):
            made = vllm_prompts(prompts, served)
            served.sleep.end()
            outputs = drawn(served.llm, made, params)
        groups, lost = groups_of(prompts, outputs, sampling, served)
        if lost:
            raise NotFiniteError(groups)
        return groups

    def rest(self) -> None:
        """Sleep until the next ``sync`` or ``generate``; see ``Engine``."""
        served = self.served
        with served.undisturbed():
            served.sleep.begin()

    def close(self) -> None:
        """Let go of vLLM. It stays in this process, for the next ``start``: to end it would end DDP too."""
        self._served = None
