"""What a terminal shows of scored completions: means, shares, and how the parts of the reward go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from rich.table import Table
from rich.text import Text

from observer.rewards import Reward
from observer.rewards.isolation import TIMED_OUT
from observer.types import Experience, Verdict


class Tally:
    """Adds up experiences, in memory that does not grow with them."""

    def __init__(self, rewards: Mapping[str, Reward]) -> None:
        """Start with nothing.

        Args:
            rewards: those of the rubric, by name.
        """
        self.rewards = rewards
        self.rows = self.compared = self.zero_signal = self.formatted = self.tokens = self.timed_out = 0
        self.pass_rates = 0.0
        self.verdicts: Counter[Verdict] = Counter()
        pairs = (len(rewards) + 1,) * 2  # the last one is the reward
        # Entry (i, j) is of value i, over the completions that both i and j apply to.
        self.counts, self._means = np.zeros(pairs), np.zeros(pairs)
        self._squares, self._products = np.zeros(pairs), np.zeros(pairs)
        self._least, self._most = np.full(pairs, np.inf), np.full(pairs, -np.inf)

    @property
    def completions(self) -> int:
        """Completions so far."""
        return self.verdicts.total()

    def add(self, experience: Experience) -> None:
        """Add the completions of an experience."""
        scores = [score for row in experience.scores for score in row]
        values = [[*score.parts.values(), score.reward] for score in scores]
        self._add_values(np.array([[np.nan if value is None else value for value in row] for row in values]))
        self.rows += len(experience.groups)
        self.pass_rates += float(experience.pass_rates_P.sum())
        if len(experience.scores[0]) > 1:
            self.compared += len(experience.groups)
            self.zero_signal += int(experience.advantages_P_G.eq(0).all(-1).sum())
        self.verdicts.update(score.verdict for score in scores)
        self.timed_out += sum(
            score.verdict is Verdict.UNVERIFIABLE and score.reason.startswith(TIMED_OUT) for score in scores
        )
        self.formatted += sum(score.formatted for score in scores)
        self.tokens += sum(group.tokens for group in experience.groups)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each part, over completions that it applies to, and of the reward; NaN for none."""
        return np.where(self.counts.diagonal() > 0, self._means.diagonal(), np.nan)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each part and of the reward, with n - 1; NaN where there is none."""
        counts, squares = self.counts.diagonal(), self._squares.diagonal()
        return np.where(counts > 0, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)

    @property
    def correlation(self) -> np.ndarray:
        """Pearson correlation of parts and reward, of two over the completions that both apply to.

        Not a number where one of the two never changes there.
        """
        spread = np.where(self._least < self._most, np.sqrt(self._squares), np.nan)
        return self._products / (spread * spread.T)

    def _add_values(self, values_N_K: np.ndarray) -> None:
        """Merge means and moments (Chan, Golub and LeVeque), which loses no digits to large means."""
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


def draw(tally: Tally) -> list[Table]:
    """Draw what was scored, the parts of the reward, and how they go together where there are several."""
    tables = [_figures(tally), _parts(tally)]
    return [*tables, _correlation(tally)] if len(tally.rewards) > 1 else tables


def _figures(tally: Tally) -> Table:
    table = _table("what was scored", "mean", "count")
    count, verdicts = tally.completions, tally.verdicts
    table.add_row("rows", "", f"{tally.rows:,}")
    table.add_row("completions", "", f"{count:,}")
    table.add_row("tokens a completion", f"{tally.tokens / count:.1f}", f"{tally.tokens:,}", end_section=True)
    for name, value in (
        ("correct", verdicts[Verdict.CORRECT]),
        ("wrong", verdicts[Verdict.WRONG]),
        ("unverifiable", verdicts[Verdict.UNVERIFIABLE]),
        ("  timed out", tally.timed_out),
    ):
        table.add_row(name, f"{value / count:.3f}", f"{value:,}")
    table.add_row("formatted", f"{tally.formatted / count:.3f}", f"{tally.formatted:,}", end_section=True)
    table.add_row("pass rate of a row", f"{tally.pass_rates / tally.rows:.3f}", "")
    share = f"{tally.zero_signal / tally.compared:.3f}" if tally.compared else "-"
    table.add_row("zero-signal rows", share, f"{tally.zero_signal:,}")
    return table


def _parts(tally: Tally) -> Table:
    table = _table("parts of the reward", "weight", "mean", "spread", "added to")
    figures = [
        tuple("-" if np.isnan(value) else f"{value:.3f}" for value in pair)
        for pair in zip(tally.mean, tally.spread, strict=True)
    ]
    for (name, reward), figure in zip(tally.rewards.items(), figures, strict=False):
        target = "advantage" if reward.after_normalisation else "reward"
        table.add_row(Text(name), f"{reward.weight:g}", *figure, target)
    table.add_section()
    table.add_row("reward", "", *figures[-1], "")
    return table


def _correlation(tally: Tally) -> Table:
    names = [*(f"{place} {name}" for place, name in enumerate(tally.rewards, start=1)), "reward"]
    table = _table("correlation", *map(str, range(1, len(names))))
    for place, row in enumerate(tally.correlation):
        cells = ["-" if np.isnan(value) else f"{value:+.2f}" for value in row[: min(place + 1, len(row) - 1)]]
        table.add_row(Text(names[place]), *cells, end_section=place == len(names) - 2)
    if np.isnan(tally.correlation).any():
        table.caption = "-: one of the two never changes, or there is no completion that both apply to"
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table("", title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
