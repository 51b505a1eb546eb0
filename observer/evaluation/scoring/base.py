"""The family of benchmarks' own scoring rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from observer.data.rows import Rows

NOT_JUDGED = "rule-based, not the official judged score"
"""What is said of a rule whose official form asks a judge model."""


@dataclass(frozen=True)
class Answered:
    """A row that was asked, and the greedy response's answer."""

    id: str
    """Of the row."""
    metadata: Mapping[str, Any]
    """Its notes."""
    kind: str
    """Of its answer."""
    answer: str
    """The gold one."""
    options: Sequence[str]
    """Of a choice, A first."""
    extracted: str | None
    """The response's answer; None where none was found."""
    correct: bool
    """By our verifier."""
    cluster: str
    """Rows that show the same pictures have the same one."""


class Scoring(ABC):
    """A benchmark's own rule: which rows are asked, and the figures that its authors report."""

    judged: ClassVar[bool] = False
    """Whether the official score needs a judge model, which ours does without."""

    def asked(self, rows: Rows) -> Rows:
        """Return the rows to ask for rows of the benchmark; these themselves unless the rule needs more."""
        return rows

    @abstractmethod
    def figures(self, answered: Sequence[Answered]) -> dict[str, Any]:
        """Return name -> ``[mean, low, high]``, a share or a count.

        Args:
            answered: the rows that were asked, in their order.
        """

    def said(self, answered: Sequence[Answered]) -> dict[str, Any]:
        """Return the figures with the rule's name and what has to be known of them, as builtins."""
        note = NOT_JUDGED if self.judged else ""
        return {"rule": type(self).__name__, "note": note, "figures": self.figures(answered)}


def share(values_P: np.ndarray, cluster_P: np.ndarray) -> list[float]:
    """Return a mean over rows and the ends of its 95 % interval, as our scores have it."""
    from observer.evaluation.intervals import score  # needs scipy, which takes a moment

    return score(values_P, cluster_P)
