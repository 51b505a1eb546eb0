"""Can a comparison show anything from where training starts? What varies within groups, and between them.

An advantage is a difference within a group: a reward that is the same for all completions of every group
trains nothing, and switching it off changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from observer import rewards
from observer.rewards import length
from observer.types import Verdict

Records = Sequence[Mapping[str, Any]]
LEAST = 0.01
"""Share of groups, or spread of pass rates, up to which there is nothing to be seen."""
_EQUAL = 1e-9


@dataclass(frozen=True)
class Figure:
    """What a comparison depends on, as measured."""

    value: float
    told: str
    """In words, with its unit."""

    @property
    def testable(self) -> bool:
        """Whether there is any spread."""
        return self.value > LEAST


class Groups:
    """The groups of a probe's rollouts.

    Args:
        records: lines of ``completions.jsonl`` of whole groups, in order.
    """

    def __init__(self, records: Records) -> None:
        self.groups: list[list[Mapping[str, Any]]] = []
        for record in records:
            if not self.groups or record["index"] == 0:
                self.groups.append([])
            self.groups[-1].append(record)

    @property
    def format_rate(self) -> float:
        """Share of completions in the format."""
        return fmean(float(record["formatted"]) for group in self.groups for record in group)

    def formats(self) -> Figure:
        """Return the share of groups in which some completions are in the format and others not."""
        share = self._share(lambda group: [float(record["formatted"]) for record in group])
        return Figure(
            share, f"format varies in {share:.0%} of groups, {self.format_rate:.1%} are in the format"
        )

    def component(self, name: str) -> Figure | None:
        """Return the share of groups in which a reward component varies; None if the probe had none of it."""
        if not any(name in record["components"] for group in self.groups for record in group):
            return None
        share = self._share(
            lambda group: [v for record in group if (v := record["components"].get(name)) is not None]
        )
        return Figure(share, f"reward {name} varies in {share:.0%} of groups")

    def lengths(self) -> Figure:
        """Return the share of groups whose right responses differ in length."""
        several = [lengths for group in self.groups if len(lengths := _right_lengths(group)) > 1]
        share = self._share(_right_lengths)
        spread = fmean(map(pstdev, several)) if several else 0.0
        return Figure(
            share, f"right responses differ in length in {share:.0%} of groups, by {spread:.1f} tokens (s.d.)"
        )

    def signal(self) -> Figure:
        """Return the share of groups whose advantages are not all 0."""
        share = len(self._with_signal()) / max(len(self.groups), 1)
        return Figure(share, f"{share:.0%} of {len(self.groups)} groups have signal")

    def weights(self) -> Figure:
        """Return the spread of what groups with signal are weighed by: their weights, or else pass rates."""
        weights = [float(group[0]["weight"]) for group in self._with_signal()]
        if weights and (spread := pstdev(weights)) > _EQUAL:
            return Figure(spread, f"weights of groups with signal differ by {spread:.2f} (s.d.)")
        rates = [float(group[0]["pass_rate"]) for group in self._with_signal()]
        spread = pstdev(rates) if rates else 0.0
        return Figure(spread, f"pass rates of groups with signal differ by {spread:.2f} (s.d.)")

    def pass_rates(self) -> Figure:
        """Return the spread of pass rates over all groups."""
        spread = pstdev([float(group[0]["pass_rate"]) for group in self.groups])
        return Figure(spread, f"pass rates differ by {spread:.2f} (s.d.) between groups")

    def _with_signal(self) -> list[list[Mapping[str, Any]]]:
        return [
            group
            for group in self.groups
            if any(abs(float(record["advantage"])) > _EQUAL for record in group)
        ]

    def _share(self, values: Callable[[list[Mapping[str, Any]]], list[float]]) -> float:
        spans = [values(group) for group in self.groups]
        return sum(max(span) - min(span) > _EQUAL for span in spans if span) / max(len(spans), 1)


def _right_lengths(group: Records) -> list[float]:
    """Return the tokens of the right responses of a group."""
    return [float(record["tokens"]) for record in group if record["verdict"] == Verdict.CORRECT]


def _of_reward(name: str, class_path: str, groups: Groups) -> Figure | None:
    """Return what a reward works through: lengths and the format where it is one of them, else its values."""
    module, _, called = class_path.rpartition(".")
    known = getattr(rewards, called, None) if f"{module}.".startswith(f"{rewards.__name__}.") else None
    if known is rewards.Format:
        return groups.formats()
    if known is rewards.Bonus or getattr(known, "__module__", "").startswith(f"{length.__name__}."):
        return groups.lengths()
    return groups.component(name)


def figure_of(option: str, groups: Groups, classes: Mapping[str, str]) -> Figure | None:
    """Return what an option works through; None for one of which nothing can be said beforehand.

    Args:
        option: such as ``model.rewards.bonus.weight``.
        groups: of a probe.
        classes: name of a reward -> its class.
    """
    if option.startswith("model.rewards."):
        name = option.split(".")[2]
        return _of_reward(name, classes.get(name, ""), groups)
    if option.startswith("model.weighting"):
        return groups.weights()
    if option.startswith("curriculum"):
        return groups.pass_rates()
    return None


def verdict(options: Iterable[str], groups: Groups, classes: Mapping[str, str]) -> str:
    """Return a sentence on whether a comparison of such options can show anything.

    Args:
        options: in which what is compared differs.
        groups: of a probe.
        classes: name of a reward -> its class.
    """
    found = [figure for option in options if (figure := figure_of(option, groups, classes)) is not None]
    if not found:
        return "nothing can be said beforehand"
    told = "; ".join(dict.fromkeys(figure.told for figure in found))
    if any(figure.testable for figure in found):
        return told
    return f"not testable here: {told}"
