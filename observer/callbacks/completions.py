"""Logs completions during training: every step as JSON lines, now and then as pictures.

It reads the output of a training step and changes nothing of it. ``observer.pages`` draws the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from observer.answering.records import DIGITS, completion_record
from observer.callbacks.step_log import StepLog
from observer.pages.completions_page import draw_group
from observer.refusal import refuse_outside
from observer.run.files import writing
from observer.types import Experience, Verdict

FILE = "completions.jsonl"


class Completions(StepLog):
    """Logs completions: ``completions.jsonl`` in the run directory, and pictures in TensorBoard.

    A line is a completion with its problem, its score and its advantage; a picture is a group. Both carry the
    step, rollouts finished before theirs, as the curves of TensorBoard do. Steps that return no experience (a
    cold start) leave nothing to log. On several processes it shows the groups of the first. For resumed
    runs and full disks see ``StepLog``.
    """

    def __init__(
        self,
        groups_per_step: int | None = 8,
        every_n_steps: int = 20,
        pictures_per_step: int = 4,
        completions_per_picture: int = 4,
    ) -> None:
        """Choose how much is written.

        Args:
            groups_per_step: groups of each step that are written as JSON lines, the first ones; null for all.
                Of the other groups the unverifiable completions are written.
            every_n_steps: pictures are drawn at step 0 and its multiples, if there is a TensorBoard logger.
            pictures_per_step: groups that are drawn then; first those with both right and wrong completions.
            completions_per_picture: of a group that are drawn: the best, the worst, others in between.

        Raises:
            RefusedError: a number is out of range.
        """
        refuse_outside("Completions.groups_per_step", groups_per_step, 0, hint=", or null for all")
        refuse_outside("Completions.every_n_steps", every_n_steps, 1)
        refuse_outside("Completions.pictures_per_step", pictures_per_step, 0)
        refuse_outside("Completions.completions_per_picture", completions_per_picture, 1)
        super().__init__(FILE)
        self.groups_per_step = groups_per_step
        self.every_n_steps = every_n_steps
        self.pictures_per_step = pictures_per_step
        self.completions_per_picture = completions_per_picture

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step that has just ended."""
        if not trainer.is_global_zero or not outputs or "experience" not in outputs:
            return
        experience, step = outputs["experience"], pl_module.data.step - 1
        self.write(list(records(experience, step, self.groups_per_step)))
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if boards and step % self.every_n_steps == 0:
            self._draw(boards, experience, step)

    def _draw(self, boards: list[TensorBoardLogger], experience: Experience, step: int) -> None:
        for number, place in enumerate(telling(experience)[: self.pictures_per_step]):
            page = draw_group(
                experience.groups[place],
                experience.scores[place],
                experience.advantages_P_G[place].tolist(),
                experience.weights_P_G[place].tolist(),
                self.completions_per_picture,
            )
            for board in boards:
                with writing(Path(board.log_dir)):
                    board.experiment.add_image(
                        f"completions/{number}", np.asarray(page), step, dataformats="HWC"
                    )


def telling(experience: Experience) -> list[int]:
    """Return the places of all groups, in order, those with right and wrong completions first."""
    pass_rates = experience.pass_rates_P.tolist()
    return sorted(range(len(pass_rates)), key=lambda place: not 0 < pass_rates[place] < 1)


def records(experience: Experience, step: int, groups: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield one record per completion, in order; floats are rounded to 6 digits.

    Args:
        experience: of a step.
        step: rollouts finished before it.
        groups: of so many groups, the first ones, and of the others what is unverifiable; None for all.
    """
    for place, group in enumerate(experience.groups):
        problem = group.problem
        advantages_G, weights_G = (
            experience.advantages_P_G[place].tolist(),
            experience.weights_P_G[place].tolist(),
        )
        for completion, score, advantage, weight in zip(
            group.completions, experience.scores[place], advantages_G, weights_G, strict=True
        ):
            if groups is not None and place >= groups and score.verdict is not Verdict.UNVERIFIABLE:
                continue
            yield {
                "step": step,
                **completion_record(problem, completion, score),
                "weight": round(weight, DIGITS),
                "pass_rate": round(float(experience.pass_rates_P[place]), DIGITS),
                "advantage": round(advantage, DIGITS),
            }
