"""Hands weights to vLLM, checks that all arrived, and drops all that was computed with others.

vLLM keeps three things over a change of its weights: keys and values of prompts, prepared pictures and their
features. Each makes completions of old weights if it stays, so all three are dropped, after the weights.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

HEAD = "lm_head.weight"
"""Handed over also where it is tied to the embedding; vLLM does not miss it then."""
SHOWN = 3
"""Names that a message shows."""


class Weights:
    """The weights of vLLM's copy: which there are, by the first time they were handed over."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def replace(self, llm: Any, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace all weights, and forget all that was computed with the former ones.

        Args:
            llm: a ``vllm.LLM`` in this process.
            named_tensors: all weights, the head that is tied to the embedding among them: vLLM's CPU
                kernels hold it packed, apart from the embedding.

        Raises:
            RuntimeError: a weight was not handed over, or not taken.
        """
        taken: set[str] = set()

        def counted() -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in named_tensors:
                taken.add(name)
                yield name, tensor

        with _without_chatter():
            [left] = llm.collective_rpc(_reload, args=(counted(),))
        self._names = self._names or taken
        absent = sorted(({HEAD, *self._names} - taken) | left)
        if absent:
            raise RuntimeError(
                f"{len(absent)} weights of vLLM's copy were not replaced, {', '.join(absent[:SHOWN])} among "
                f"them: its log-probs would be of no policy"
            )
        forget(llm)


def forget(llm: Any) -> None:
    """Drop keys and values of prompts, prepared pictures and their features.

    The last stands in the scheduler too, which would go on asking a worker for what that has dropped.
    """
    if not llm.reset_prefix_cache():
        raise RuntimeError("vLLM kept keys and values of former weights: some requests have not ended")
    llm.reset_mm_cache()
    llm.llm_engine.reset_encoder_cache()


def _reload(worker: Any, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
    """Replace weights layer by layer; return the parameters of vLLM's model that none was for.

    It would only log those. ``model.load_weights`` alone would be no way: on a CPU layers are packed, and
    have no loaders any more.
    """
    model = worker.get_model()
    names = {name for name, _ in model.named_parameters()}
    load, loaded = model.load_weights, set[str]()

    def load_counted(weights: Iterable[tuple[str, torch.Tensor]]) -> Any:
        found = load(weights)
        loaded.update(found)
        return found

    model.load_weights = load_counted
    try:
        worker.reload_weights(weights_iterator=named_tensors)
    finally:
        del model.load_weights
    return names - loaded


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep vLLM from a warning per kind of layer without weights; what is missing is counted here."""
    logger = logging.getLogger("vllm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
