"""What a run has cost so far: prompts, completion tokens, seconds, and how far its steps moved weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from observer.refusal import refuse_outside


@dataclass
class Costs:
    """Counts over all processes of a run: a resumed one adds to what its checkpoint holds.

    Prompts and tokens are of all ranks. They are counted when they are drawn, so groups that dynamic sampling
    has replaced count too; what is drawn for held-out problems does not.
    """

    seconds: float = 0.0
    """From the start of training, of processes before this one."""
    step_seconds: float = 0.0
    """Of training steps alone: no evaluation, no checkpoint."""
    prompts: int = 0
    tokens: int = 0
    """Completion tokens."""
    steps: int = 0
    """Rollouts since update norms are counted."""
    update_norms: float = 0.0
    """The sum over these rollouts of the mean norm of their optimizer steps."""
    _start: float = field(default_factory=time.perf_counter, repr=False)
    _step_start: float = field(default_factory=time.perf_counter, repr=False)
    _drawn: int = field(default=0, repr=False)

    def start(self) -> None:
        """Start the clock of this process."""
        self._start = time.perf_counter()

    def start_step(self, module: Any) -> None:
        """Start to count a step.

        Args:
            module: the learner that takes it.
        """
        self._step_start, self._drawn = time.perf_counter(), module.answerer.drawn

    def end_step(self, module: Any, outputs: Any) -> None:
        """Count a step; every rank calls it.

        Args:
            module: the learner that has taken it.
            outputs: what its ``training_step`` returned.
        """
        self.step_seconds += time.perf_counter() - self._step_start
        self.tokens += int(module.over_ranks.sum(module.answerer.drawn - self._drawn))
        # An imitated problem is a prompt too, though nothing is drawn for it and nothing observed.
        self.prompts += len(module.data.observed[0]) or module.data.prompts_per_step
        update = outputs.get("update", {}) if isinstance(outputs, Mapping) else {}
        if "update_norm" in update:
            self.steps, self.update_norms = self.steps + 1, self.update_norms + update["update_norm"]

    @property
    def so_far(self) -> dict[str, float]:
        """What training has cost: as in the lines of ``curve.jsonl``."""
        return {"prompts": self.prompts, "tokens": self.tokens, "seconds": round(self.step_seconds, 2)}

    @property
    def all_seconds(self) -> float:
        """Seconds since the start of training, of all processes."""
        return self.seconds + time.perf_counter() - self._start

    @property
    def update_norm(self) -> float | None:
        """The mean over optimizer steps of how far they moved the weights, to 6 digits; None before one."""
        return float(f"{self.update_norms / self.steps:.6g}") if self.steps else None

    def state_dict(self) -> dict[str, Any]:
        """Return the counts that a resumed run adds to."""
        counts = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        return counts | {"seconds": self.all_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting; checkpoints of earlier versions lack some counts."""
        for name in self.state_dict():
            value = state_dict.get(name, 0)
            refuse_outside(f"RunReport.{name}", value, 0)
            setattr(self, name, value)
