"""A call to vLLM that leaves nothing behind where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from observer.rollout.vllm.sync import forget


def drawn(llm: Any, prompts: Sequence[dict[str, Any]], params: Any) -> list[Any]:
    """Return vLLM's outputs, one per prompt.

    Where it fails, its requests would stay queued, and the next call would draw them too. Keys, values and
    features that were noted before they were computed are forgotten: a later prompt would be read with them.

    Args:
        llm: a ``vllm.LLM`` in this process.
        prompts: in vLLM's terms.
        params: its ``SamplingParams``.
    """
    try:
        outputs: list[Any] = llm.generate(prompts, params, use_tqdm=False)
    except BaseException:  # Ctrl-C in a notebook too
        with suppress(Exception):  # what it raised first is what counts
            queued = llm.llm_engine.output_processor
            for requests in (queued.parent_requests, queued.request_states):  # the first end theirs too
                llm.llm_engine.abort_request(list(requests), internal=True)
            forget(llm)
        raise
    return outputs
