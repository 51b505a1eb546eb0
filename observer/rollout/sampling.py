"""Seeded draws of next tokens, which do not depend on the batch that a row is in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from observer.refusal import refuse_outside
from observer.seeding import stable_seed
from observer.types import RefusedError, Sampling


def refuse_impossible(sampling: Sampling) -> None:
    """Refuse a sampling that nothing can be drawn with.

    Raises:
        RefusedError: names the field, its value and the range.
    """
    for name, least in (("group_size", 1), ("max_tokens", 1), ("min_tokens", 0), ("first", 0)):
        value = getattr(sampling, name)
        if not isinstance(value, int):
            raise RefusedError(f"Sampling.{name} is {value!r}; it must be a whole number >= {least}")
        refuse_outside(f"Sampling.{name}", value, least)
    refuse_outside("Sampling.min_tokens", sampling.min_tokens, 0, sampling.max_tokens)
    refuse_outside("Sampling.temperature", sampling.temperature, 0)


def draw(logprobs_N_V: torch.Tensor, uniforms_N: torch.Tensor) -> torch.Tensor:
    """Draw one token per row, (N,) int64: the first whose cumulative probability exceeds the uniform.

    A token of probability 0 is never drawn. Of a row of nan it is the last, whose log-prob is nan.

    Args:
        logprobs_N_V: float32.
        uniforms_N: float64 in [0, 1).

    >>> logprobs_3_V = torch.tensor([[0.25, 0.0, 0.75]]).log().expand(3, 3)
    >>> draw(logprobs_3_V, torch.tensor([0.0, 0.25, 0.999]).double()).tolist()
    [0, 2, 2]
    """
    cumulative_N_V = logprobs_N_V.exp().cumsum(-1, dtype=torch.float64)
    total_N_1 = cumulative_N_V[:, -1:]
    # A uniform so near 1 that its product rounds up to the total would point past the end.
    below_N_1 = torch.nextafter(total_N_1, torch.zeros_like(total_N_1))
    targets_N_1 = torch.minimum(uniforms_N[:, None] * total_N_1, below_N_1)
    # Where all is nan, the search ends one past the last token: on a GPU that ends the process.
    last = logprobs_N_V.shape[1] - 1
    return torch.searchsorted(cumulative_N_V, targets_N_1, right=True)[:, 0].clamp_(max=last)


class UniformStreams:
    """Uniform numbers in [0, 1) for a rollout: one stream per row, whatever else is in the batch."""

    def __init__(self, sampling: Sampling, rows: Sequence[tuple[str, int]], block: int = 64) -> None:
        """Open the streams.

        Args:
            sampling: seed and step.
            rows: (problem id, index in the group) of each row.
            block: numbers drawn from a stream at once.
        """
        keys = [stable_seed(sampling.seed, sampling.step, problem, index) for problem, index in rows]
        self._streams = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
        self._block = block
        self._drawn_N_B = np.empty((len(rows), 0))
        self._start = 0

    def at(self, token: int) -> torch.Tensor:
        """Return the number of every row for a token, (N,) float64; tokens come in ascending order."""
        while token >= self._start + self._drawn_N_B.shape[1]:
            self._start += self._drawn_N_B.shape[1]
            self._drawn_N_B = np.stack([stream.random(self._block) for stream in self._streams])
        return torch.from_numpy(self._drawn_N_B[:, token - self._start].copy())
