"""Gives a GPU's memory back while the policy trains: vLLM sleeps at its level 1, and wakes part by part.

Level 1 moves weights to the host's memory and drops keys and values. Level 2 would drop the weights too. But
a sync does not bring all of it back: tables of positions and buffers are no parameters. And not every draw
follows a sync, as the one after a validation does not: it would be of garbage, and nobody would say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WEIGHTS = "weights"
LEVEL = 1


@dataclass
class Sleep:
    """Whether a vLLM sleeps, and what of it is awake."""

    llm: Any
    """A ``vllm.LLM`` in this process."""
    able: bool
    """Whether it was started so that it can; on a CPU none can."""
    weights: bool = False
    """Whether its weights are asleep."""
    rest: bool = False
    """Whether keys and values are, and its scheduler."""

    def begin(self) -> None:
        """Put it to sleep. No request is under way."""
        if self.able and not (self.weights and self.rest):
            self.llm.sleep(level=LEVEL)
            self.weights = self.rest = True

    def wake_weights(self) -> None:
        """Wake the weights alone, to be replaced; keys and values need not fit beside that."""
        if self.weights:
            self.llm.wake_up(tags=[WEIGHTS])
            self.weights = False

    def end(self) -> None:
        """Wake all that sleeps."""
        if self.weights or self.rest:
            self.llm.wake_up()
            self.weights = self.rest = False
