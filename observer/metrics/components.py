"""Figures of each reward component in a step: mean, spread, groups without a difference, correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from observer.objective.advantages.base import EQUAL
from observer.types import Experience

REWARD = "reward"
"""The sum of the components that enter before the normalisation, listed after them."""
PAIR = " ~ "
"""Stands between the names of two components whose correlation is given."""


class Moments:
    """Means, spreads and correlations of components, in memory that does not grow with the completions."""

    def __init__(self, components: int) -> None:
        """Start empty.

        Args:
            components: K, how many there are.
        """
        # Entry (i, j) is of component i, over the completions that both i and j apply to.
        self.counts, self._means = np.zeros((components, components)), np.zeros((components, components))
        self._squares, self._products = np.zeros((components, components)), np.zeros((components, components))
        self._least, self._most = (
            np.full((components, components), np.inf),
            np.full((components, components), -np.inf),
        )

    @property
    def mean(self) -> np.ndarray:
        """Mean of each component over the completions that it applies to, (K,); NaN where there is none."""
        return np.where(self.counts.diagonal() > 0, self._means.diagonal(), np.nan)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each component, with n - 1, (K,); 0 of one completion, NaN of none."""
        counts, squares = self.counts.diagonal(), self._squares.diagonal()
        return np.where(counts > 0, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)

    @property
    def correlation(self) -> np.ndarray:
        """Pearson correlation of the components, (K, K), of two over the completions that both apply to.

        Not a number where one of the two never changes there.
        """
        spread = np.where(self._most - self._least >= EQUAL, np.sqrt(self._squares), np.nan)
        correlation: np.ndarray = self._products / (spread * spread.T)
        return correlation.clip(-1.0, 1.0)  # rounding may lead beyond

    def add(self, values_N_K: np.ndarray) -> None:
        """Add completions: merges means and moments (Chan, Golub and LeVeque), which loses no digits.

        Args:
            values_N_K: NaN where a component does not apply.
        """
        there_N_K = ~np.isnan(values_N_K)
        both_N_K_K = there_N_K[:, :, None] & there_N_K[:, None, :]
        values_N_K_K = np.broadcast_to(values_N_K[:, :, None], both_N_K_K.shape)
        count = both_N_K_K.sum(0)
        total = np.maximum(self.counts + count, 1)
        mean = np.where(both_N_K_K, values_N_K_K, 0.0).sum(0) / np.maximum(count, 1)
        centred = np.where(both_N_K_K, values_N_K_K - mean, 0.0)
        step = mean - self._means
        share = self.counts * count / total
        self._squares += (centred**2).sum(0) + step**2 * share
        self._products += (centred * centred.swapaxes(1, 2)).sum(0) + step * step.T * share
        self._means += step * count / total
        self._least = np.minimum(self._least, np.where(both_N_K_K, values_N_K_K, np.inf).min(0))
        self._most = np.maximum(self._most, np.where(both_N_K_K, values_N_K_K, -np.inf).max(0))
        self.counts += count


def component_values(experience: Experience) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Return the names of the components, their values and the level of each group.

    Args:
        experience: of one rank.

    Returns:
        K names, the last ``REWARD``; values, (P, G, K), float64, NaN where a reward does not apply; levels,
            (P,).
    """
    names = [*experience.scores[0][0].components, REWARD]
    values = [
        [
            [*(math.nan if value is None else value for value in score.components.values()), score.reward]
            for score in row
        ]
        for row in experience.scores
    ]
    levels = [group.problem.level for group in experience.groups]
    return names, torch.tensor(values, dtype=torch.float64), torch.tensor(levels)


def component_table(
    names: Sequence[str], values_P_G_K: torch.Tensor, levels_P: torch.Tensor
) -> dict[str, Any]:
    """Return the table of a step: builtins only, None where there is no figure.

    Args:
        names: of the components.
        values_P_G_K: their values, NaN where one does not apply.
        levels_P: of the groups.

    Returns:
        ``components``: name -> ``applies`` (share of completions), ``mean``, ``spread`` (standard deviation
            with n - 1, over completions), ``zero_variance`` (share of groups in which it does not tell
            completions apart), ``levels`` (level -> mean). ``correlation``: ``"a ~ b"`` -> Pearson's, over
            completions that both apply to; None where one of them never changes.

    >>> values = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[1.0, 0.5], [1.0, 0.5]]]).double()
    >>> table = component_table(["accuracy", "reward"], values, torch.tensor([1, 2]))
    >>> table["components"]["accuracy"]  # doctest: +NORMALIZE_WHITESPACE
    {'applies': 1.0, 'mean': 0.75, 'spread': 0.5, 'zero_variance': 0.5, 'levels': {1: 0.5, 2: 1.0}}
    >>> table["correlation"]
    {'accuracy ~ reward': 1.0}
    """
    moments = Moments(len(names))
    moments.add(values_P_G_K.flatten(0, 1).numpy())
    counts, means, spreads = moments.counts.diagonal(), moments.mean, moments.spread
    correlations = moments.correlation
    components = {
        name: {
            "applies": float(counts[place] / values_P_G_K[..., place].numel()),
            "mean": _figure(means[place]),
            "spread": _figure(spreads[place]) if counts[place] > 1 else None,
            **_by_group(values_P_G_K[..., place], levels_P),
        }
        for place, name in enumerate(names)
    }
    correlation = {
        f"{names[place]}{PAIR}{names[other]}": _figure(correlations[place, other])
        for place in range(len(names))
        for other in range(place + 1, len(names))
    }
    return {"components": components, "correlation": correlation}


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _by_group(values_P_G: torch.Tensor, levels_P: torch.Tensor) -> dict[str, Any]:
    there_P_G = ~values_P_G.isnan()
    compared_P = there_P_G.sum(-1) > 1
    most_P = values_P_G.nan_to_num(-math.inf).amax(-1)
    least_P = values_P_G.nan_to_num(math.inf).amin(-1)
    silent_P = (most_P - least_P)[compared_P] < EQUAL
    by_level = {level: values_P_G[levels_P == level] for level in sorted(set(levels_P.tolist()))}
    return {
        "zero_variance": float(silent_P.double().mean()) if len(silent_P) else None,
        "levels": {
            level: float(own.nanmean()) for level, own in by_level.items() if not bool(own.isnan().all())
        },
    }
