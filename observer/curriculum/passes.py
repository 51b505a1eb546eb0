"""Passes: seeded permutations that rows are dealt from, so that no row comes twice in a pass.

A pass ends before the first step that it has too few rows left for. The few rows left over are others in
every pass, and a batch never reaches over the end of a pass, where it could meet a row twice.
"""

from __future__ import annotations

from functools import lru_cache

import torch


@lru_cache(maxsize=16)  # as many as there are levels; a permutation of a million rows takes 8 MB and 10 ms
def permutation(seed: int, size: int) -> torch.Tensor:
    """Return a uniformly drawn order of ``range(size)``, (size,), int64. It is cached: not to be changed.

    Args:
        seed: seed of the pass.
        size: rows in it.
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
