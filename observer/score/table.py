"""The tables of scored completions: means, shares, and how the reward's components correlate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from rich.table import Table
from rich.text import Text

from observer.metrics.components import Moments, component_values
from observer.rewards import Reward
from observer.types import Experience, Verdict


class Tally:
    """Sums over experiences, in memory that does not grow with them."""

    def __init__(self, rewards: Mapping[str, Reward]) -> None:
        """Start with nothing.

        Args:
            rewards: those of the rubric, by name.
        """
        self.rewards = rewards
        self.rows = self.compared = self.zero_signal = self.formatted = self.tokens = self.timed_out = 0
        self.pass_rates = 0.0
        self.verdicts: Counter[Verdict] = Counter()
        self.components = Moments(len(rewards) + 1)
        """Of each component and, at last, of the reward."""

    @property
    def completions(self) -> int:
        """Completions so far."""
        return self.verdicts.total()

    def add(self, experience: Experience) -> None:
        """Add the completions of an experience."""
        scores = [score for row in experience.scores for score in row]
        _, values_P_G_K, _ = component_values(experience)
        self.components.add(values_P_G_K.flatten(0, 1).numpy())
        self.rows += len(experience.groups)
        self.pass_rates += float(experience.pass_rates_P.sum())
        if len(experience.scores[0]) > 1:
            self.compared += len(experience.groups)
            self.zero_signal += int(experience.silent_P.sum())
        self.verdicts.update(score.verdict for score in scores)
        self.timed_out += sum(score.timed_out for score in scores)
        self.formatted += sum(score.formatted for score in scores)
        self.tokens += sum(group.tokens for group in experience.groups)


def draw(tally: Tally) -> list[Table]:
    """Draw what was scored, the reward's components, and how they correlate where there are several."""
    tables = [_figures(tally), _components(tally)]
    return [*tables, _correlation(tally)] if len(tally.rewards) > 1 else tables


def _figures(tally: Tally) -> Table:
    table = _table("what was scored", "mean", "count")
    count, verdicts = tally.completions, tally.verdicts
    table.add_row("rows", "", f"{tally.rows:,}")
    table.add_row("completions", "", f"{count:,}")
    table.add_row(
        "tokens per completion", f"{tally.tokens / count:.1f}", f"{tally.tokens:,}", end_section=True
    )
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


def _components(tally: Tally) -> Table:
    table = _table("reward components", "weight", "mean", "spread", "added to")
    figures = [
        tuple("-" if np.isnan(value) else f"{value:.3f}" for value in pair)
        for pair in zip(tally.components.mean, tally.components.spread, strict=True)
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
    for place, row in enumerate(tally.components.correlation):
        cells = ["-" if np.isnan(value) else f"{value:+.2f}" for value in row[: min(place + 1, len(row) - 1)]]
        table.add_row(Text(names[place]), *cells, end_section=place == len(names) - 2)
    if np.isnan(tally.components.correlation).any():
        table.caption = "-: one of the two never changes, or there is no completion that both apply to"
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table("", title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
