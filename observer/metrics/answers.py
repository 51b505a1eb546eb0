"""The answers of one run to the held-out problems: the problems, and every figure of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from observer.metrics.outcomes import read_outcomes
from observer.refusal import printable
from observer.statistics import pass_at_k
from observer.types import RefusedError, Verdict

MEASURES = {"accuracy": "verdict", "format": "formatted", "length": "length", "truncated": "truncated"}
"""Figure of an answer -> the column of the outcomes that it is read from."""
ASKED = ("id", "picture", "level", "mode", "sample")


@dataclass(frozen=True)
class Problems:
    """The held-out problems, the same in every run."""

    ids: tuple[str, ...]
    pictures: tuple[str, ...]
    levels_P: np.ndarray
    clusters_P: np.ndarray
    """Problems of one picture have one number: their outcomes are not independent."""

    @cached_property
    def clusters(self) -> int:
        """How many problems differ in their picture."""
        return len(np.unique(self.clusters_P))


def read_answers(path: Path) -> tuple[Problems, dict[str, np.ndarray]]:
    """Return the problems of a file of outcomes, and name -> figure of each, shape (P,).

    Of sampled answers a figure is the mean over the samples of a problem.

    Raises:
        RefusedError: the file is not there, or not as a run writes it.
    """
    table = read_outcomes(path)
    columns = {name: np.array(table[name].to_pylist()) for name in (*ASKED, *MEASURES.values())}
    columns["verdict"] = columns["verdict"] == str(Verdict.CORRECT)
    greedy, sampled = (
        {name: values[columns["mode"] == mode] for name, values in columns.items()}
        for mode in ("greedy", "sampled")
    )
    count = len(greedy["id"])
    samples = len(sampled["id"]) // count if count else 0
    if (
        not count
        or not np.array_equal(sampled["id"], np.repeat(greedy["id"], samples))
        or not np.array_equal(sampled["sample"], np.tile(np.arange(samples), count))
    ):
        raise RefusedError(
            f"{printable(path)} does not hold one greedy answer per problem and equally many sampled ones, "
            "in their order; the run must be made anew"
        )
    figures = {name: greedy[column].astype(np.float64) for name, column in MEASURES.items()}
    if samples:
        drawn = {
            name: sampled[column].reshape(count, samples).astype(np.float64)
            for name, column in MEASURES.items()
        }
        figures |= {f"sampled_{name}": values_P_N.mean(1) for name, values_P_N in drawn.items()}
        right_P = drawn["accuracy"].sum(1)
        figures |= {f"pass@{k}": pass_at_k(right_P, samples, k) for k in _ks(samples)}
    pictures = greedy["picture"].tolist()
    keys = [f"picture {one}" if one else f"row {place}" for place, one in enumerate(pictures)]
    clusters_P = np.unique(keys, return_inverse=True)[1]
    return Problems(tuple(greedy["id"].tolist()), tuple(pictures), greedy["level"], clusters_P), figures


def _ks(samples: int) -> list[int]:
    """Return the powers of two from 2 on up to a number of samples, and that number.

    >>> _ks(1), _ks(4), _ks(6)
    ([], [2, 4], [2, 4, 6])
    """
    powers = [2**power for power in range(1, samples.bit_length()) if 2**power <= samples]
    return powers if samples in (1, *powers) else [*powers, samples]
