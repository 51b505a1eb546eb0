"""A file of lines that a callback writes each step. Where it cannot be written, training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from observer.jsonl_log import JsonlLog


class StepLog:
    """JSON lines of the steps of a run. A step's lines are written all or none."""

    def __init__(self, name: str) -> None:
        """Name the file; nothing is opened.

        Args:
            name: of the file in the run directory.
        """
        self.lost = 0
        """Lines that could not be written."""
        self._name = name
        self._log: JsonlLog | None = None
        self._warned = False

    def open(self, folder: Path, step: int) -> None:
        """Open the log and cut the lines of this step and of later ones: all of them for a fresh run."""
        self._log = None
        log = JsonlLog(folder / self._name)
        try:
            log.truncate_from(step)
        except OSError as error:
            self._warn(error)  # and write nothing: a step would stand there twice
        else:
            self._log = log

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Write the lines of a step, or count them as lost."""
        try:
            if self._log is not None:
                self._log.append(lines)
                return
        except OSError as error:
            self._warn(error)
        self.lost += len(lines)

    def close(self) -> None:
        """Close the log and tell what is lost."""
        if self._log is not None:
            self._log.close()
        if self.lost:
            rank_zero_warn(f"{self._name}: {self.lost} lines are lost, because they could not be written")

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            rank_zero_warn(
                f"{self._name} cannot be written: {error}. Training goes on without the lines that are lost"
            )
        self._warned = True
