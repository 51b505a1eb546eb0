"""How far a run is, read from its directory: whoever started it, on whichever machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPLETE = "complete"
_TAIL = 1 << 16
"""Bytes that are read of the end of a log: more than its longest line, usually."""


@dataclass(frozen=True)
class State:
    """What the files of a run say."""

    status: str = ""
    """Of ``summary.json``: ``complete``, ``running`` (or killed), ``interrupted`` ..; empty for none."""
    steps: int = 0
    """Rollouts finished."""
    planned: int | None = None
    accuracy: float | None = None
    """Greedy, on the held-out problems, after training."""
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.status == COMPLETE


def state_of(folder: Path) -> State:
    """Return how far a run is; a directory that is not there, or holds no run, has not begun."""
    try:
        summary: Any = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        steps, planned = int(summary["steps"]), summary.get("planned_steps")
        accuracy = summary.get("accuracy_after")
        return State(
            status=str(summary["status"]),
            steps=steps if summary["status"] == COMPLETE else max(steps, steps_logged(folder)),
            planned=None if planned is None else int(planned),
            accuracy=None if accuracy is None else float(accuracy),
            error=str(summary.get("error", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return State(steps=steps_logged(folder))


def steps_logged(folder: Path) -> int:
    """Return the rollouts whose figures are in ``components.jsonl``: the summary has them at the end only."""
    try:
        with (folder / "components.jsonl").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            lines = file.read().split(b"\n")[:-1]  # the last one may be half a line
        return int(json.loads(lines[-1])["step"]) + 1
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run can go on from where it was cut off."""
    return any((folder / "checkpoints").glob("*.ckpt"))
