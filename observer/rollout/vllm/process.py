"""The one vLLM engine of a process: made when it is first asked for, kept until the process ends.

An engine that is deleted takes ``torch.distributed``'s default group with it, the trainer's too, and a second
one beside it does not start. So what is started again is the same engine, with the weights of its files.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from observer.rollout.vllm.abilities import refuse_unfit, refuse_without
from observer.rollout.vllm.memory import key_value_bytes
from observer.rollout.vllm.ranks import over_sockets, refuse_heads
from observer.rollout.vllm.sleep import Sleep
from observer.rollout.vllm.sync import Weights
from observer.rollout.vllm.undisturbed import undisturbed
from observer.types import RefusedError

if TYPE_CHECKING:
    from observer.policy import PolicySpec

KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""Types of models whose prompts and weights this is for."""
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process, where weights can be handed to it
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass
class Served:
    """vLLM and what it serves."""

    key: dict[str, Any]
    """Model and options; those of the next start must be the same."""
    llm: Any
    """A ``vllm.LLM`` in this process."""
    max_model_len: int
    """Tokens of a prompt and its completion at most."""
    tokenizer: Any
    image_id: int
    merge: int
    picture_size: dict[str, int]
    banned_ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    own: MutableMapping[str, str] = field(repr=False)
    """vLLM's environment variables."""
    sleep: Sleep
    """Whether it is awake."""
    pid: int = field(default_factory=os.getpid)
    """The process that it was made in."""
    drawn_at_random: bool = False
    """Whether its weights are those of no file and no policy."""

    def undisturbed(self, seed: int | None = None) -> AbstractContextManager[None]:
        """Return a context for vLLM's code; see ``undisturbed``."""
        return undisturbed(self.own, seed)

    def refuse_fork(self) -> None:
        """Refuse to use the engine in a copy of its process: both would have one scheduler."""
        if self.pid != os.getpid():
            raise RefusedError(
                f"VLLM: process {os.getpid()} was forked from process {self.pid}, which has a vLLM engine; "
                f"draw there, or start a process of its own (spawn)"
            )

    def refuse_random_weights(self) -> None:
        """Refuse to draw before a sync where the model is to be drawn from scratch: by the trainer alone."""
        if self.drawn_at_random:
            raise RefusedError(
                "model.policy.from_scratch draws weights in the trainer, and vLLM has had none of them yet; "
                "leave it out to answer without a learner"
            )


_served: Served | None = None


def serve(spec: PolicySpec, options: dict[str, Any], longest: int | None) -> Served:
    """Start vLLM, or return the engine that this process has, with the weights of the files again.

    Args:
        spec: the model.
        options: of ``vllm.LLM`` that the user sets.
        longest: tokens of a prompt and its completion at most; None for as many as model and memory allow.

    Raises:
        RefusedError: there is no vLLM, it lacks an ability, the model cannot be served, or this process has
            an engine of another model, with other options or for shorter completions.
    """
    global _served
    from observer.policy.hand_over import weights_in_files
    from observer.policy.model_files import model_path

    key = {**options, "path": str(model_path(spec.path)), "from_scratch": spec.from_scratch}
    key |= {"min_pixels": spec.min_pixels, "max_pixels": spec.max_pixels}
    if _served is None:
        refuse_without()
        _served = _make(spec, options, longest, key)
        return _served
    _served.refuse_fork()
    _refuse_another(_served, key, longest)
    if not spec.from_scratch:
        with _served.undisturbed():
            _served.sleep.wake_weights()
            Weights().replace(_served.llm, weights_in_files(spec))
    _served.drawn_at_random = spec.from_scratch
    return _served


def _refuse_another(served: Served, key: dict[str, Any], longest: int | None) -> None:
    for name, value in key.items():
        if served.key[name] != value:
            raise RefusedError(
                f"VLLM: {name} is {value!r}, and this process has a vLLM engine already, with "
                f"{served.key[name]!r}; a process has one at most: start another process"
            )
    if longest is not None and longest > served.max_model_len:
        raise RefusedError(
            f"VLLM: prompts and completions have up to {longest} tokens, and the vLLM engine of this process "
            f"was started for {served.max_model_len}; start another process"
        )


def _make(spec: PolicySpec, options: dict[str, Any], longest: int | None, key: dict[str, Any]) -> Served:
    from observer.policy import load_processor
    from observer.policy.token_ids import banned_ids, end_ids

    processor = load_processor(spec)
    config, generation = _checked_configs(spec)
    refuse_heads(options["tensor_parallel_size"], config)
    if longest is not None and longest > (most := config.get_text_config().max_position_embeddings):
        raise RefusedError(
            f"model.max_prompt_tokens + model.max_tokens is {longest}, and the model's context has {most} "
            f"tokens, the most that vLLM serves; lower one of them, or use TransformersEngine"
        )
    size = {name: processor.image_processor.size[name] for name in ("shortest_edge", "longest_edge")}
    # Its warnings are about speed, by the dozen; a user who sets a level has them.
    own = {"VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"), **ENVIRONMENT}
    own |= launched(options["tensor_parallel_size"])
    with undisturbed(own):
        refuse_unfit()
        llm = _started(spec, config, options, longest, size)
    return Served(
        key=key,
        llm=llm,
        max_model_len=llm.llm_engine.model_config.max_model_len,
        tokenizer=processor.tokenizer,
        image_id=processor.tokenizer.convert_tokens_to_ids(processor.image_token),
        merge=processor.image_processor.merge_size**2,
        picture_size=size,
        banned_ids=banned_ids(config),
        end_ids=end_ids(config, generation, processor.tokenizer),
        own=own,
        sleep=Sleep(llm, able=options["enable_sleep_mode"]),
        drawn_at_random=spec.from_scratch,
    )


def _checked_configs(spec: PolicySpec) -> tuple[Any, Any]:
    """Return the model's configuration and that of its generation, its files checked as for training.

    Raises:
        RefusedError: a file is broken, or the model is of another kind.
    """
    from transformers import AutoConfig, GenerationConfig

    from observer.policy.model_files import check_config, check_weights, model_folder, model_path

    path = model_path(spec.path)
    if (folder := model_folder(spec.path)) is not None:
        check_config(folder)
        if not spec.from_scratch:
            check_weights(folder, complete=path.is_dir())
    config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if config.model_type not in KINDS:
        raise RefusedError(
            f"model.policy.path is {spec.path!r}, a {config.model_type}; VLLM is for {', '.join(KINDS)}"
        )
    rope = config.get_text_config().rope_parameters or {}
    if config.model_type == "qwen3_vl" and not rope.get("mrope_interleaved"):
        raise RefusedError(
            f"model.policy.path is {spec.path!r}: the rope_parameters of its config.json lack "
            f"mrope_interleaved: true, "
            f"without which vLLM gives pictures other positions than transformers does; add it"
        )
    if spec.from_scratch:  # as a model that is drawn has it
        return config, None
    try:
        return config, GenerationConfig.from_pretrained(path)
    except OSError:  # it has none
        return config, None


def _started(
    spec: PolicySpec, config: Any, options: dict[str, Any], longest: int | None, size: dict[str, int]
) -> Any:
    """Return a ``vllm.LLM`` in this process."""
    import vllm

    from observer.policy.model_files import model_path

    made = dict(options)
    if not torch.cuda.is_available():
        made["enforce_eager"] = True  # to compile takes 40 seconds
        made["block_size"] = 32  # prompts shorter than a block, by default 128 tokens, would share nothing
        tokens = options["max_num_seqs"] * (longest or config.get_text_config().max_position_embeddings)
        share = made.pop("gpu_memory_utilization")
        made["kv_cache_memory_bytes"] = key_value_bytes(config, options["dtype"], tokens, share)
        over_sockets()
    return vllm.LLM(
        model=str(model_path(spec.path)),
        max_model_len=-1 if longest is None else longest,  # -1: as long as model and memory allow
        load_format="dummy" if spec.from_scratch else "safetensors",  # never a pickle
        trust_remote_code=False,
        generation_config="vllm",  # the model's own may hold a top_p and penalties
        logprobs_mode="processed_logprobs",  # of the distribution that tokens are drawn from
        enable_prefix_caching=True,
        limit_mm_per_prompt={"video": 0},
        mm_processor_kwargs={"size": size},
        # on this rank's device
        distributed_executor_backend="external_launcher"
        if launched(options["tensor_parallel_size"])
        else "uni",
        use_tqdm_on_load=False,
        **made,
    )


def launched(tensor_parallel: int) -> dict[str, str]:
    """Return what an external launcher would have told vLLM, where ranks have a GPU each or share a vLLM.

    Lightning starts ranks without all of it, and vLLM looks nowhere else.

    Args:
        tensor_parallel: ranks that share a vLLM.
    """
    ranks = torch.distributed.is_available() and torch.distributed.is_initialized()
    cuda = torch.cuda.is_available()
    if not ranks or torch.distributed.get_world_size() == 1 or not (cuda or tensor_parallel > 1):
        return {}
    rank = torch.distributed.get_rank()
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(torch.cuda.current_device() if cuda else rank),
        "WORLD_SIZE": str(torch.distributed.get_world_size()),
    }
