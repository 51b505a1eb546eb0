"""Keeps what vLLM changes for the whole process from the trainer: random states, threads, environment.

Made in this process, vLLM seeds all random states, draws from them, replaces ``torch.set_num_threads`` by a
function that does nothing, and sets variables such as ``LD_PRELOAD`` that processes started later would get.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch


@contextmanager
def undisturbed(own: MutableMapping[str, str], seed: int | None = None) -> Iterator[None]:
    """Run vLLM's code inside; afterwards random states, threads and environment are as they were.

    Args:
        own: vLLM's own environment variables, set inside; what it sets there is kept here for the next time.
        seed: of all random states inside; None leaves them as they are.
    """
    environment = dict(os.environ)
    python, numpy = random.getstate(), np.random.get_state()
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings(), _compiled_on_gpus_alone():
        warnings.simplefilter("ignore")  # of its many imports
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
        os.environ.update(own)
        try:
            yield
        finally:
            own.update({name: value for name, value in os.environ.items() if environment.get(name) != value})
            _restore(environment)
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_num_threads = set_threads
            torch.set_num_threads(threads)


def _compiled_on_gpus_alone() -> AbstractContextManager[None]:
    """Keep torch from compiling on a CPU: half a minute for one function, with ``enforce_eager`` too."""
    if torch.cuda.is_available():
        return nullcontext()
    from torch._dynamo import config  # slow, and vLLM imports it too

    patched: AbstractContextManager[None] = config.patch(disable=True)
    return patched


def _restore(environment: dict[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
