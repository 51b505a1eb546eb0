"""Logs completions during training: every step as JSON lines, now and then as pictures.

It reads the output of a training step and changes nothing of it. ``observer.pages`` draws the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn

from observer.answering.records import DIGITS, asked_record, completion_record
from observer.callbacks.kept_pictures import SIDE, keep_picture
from observer.callbacks.step_log import StepLog
from observer.pages.completions_page import draw_group
from observer.refusal import refuse_outside
from observer.run.loggers import show_picture, show_table, takes_pictures
from observer.types import Experience, Problem, Verdict

FILE = "completions.jsonl"
TABLE = (
    *("step", "id", "level", "question", "answer", "index", "text", "tokens", "verdict"),
    *("reward", "bonus", "weight", "pass_rate", "advantage"),
)
"""Columns of the table that is shown, after the pictures of the problem."""


class Completions(StepLog):
    """Logs completions: ``completions.jsonl`` in the run directory; pictures and tables in the loggers.

    A line is a completion with its problem, its score and its advantage; the first line of a group has the
    chat that the model was given, and the files of its pictures in ``pictures/``, from which
    ``observer browse`` makes its page. A logged picture is a group. Loggers that take pictures (TensorBoard,
    MLflow, W&B) are given those, and a logger that takes tables (W&B) one of the same groups, with the
    pictures of the problems. All carry the step, rollouts finished before theirs, as the curves do. Steps
    that return no experience (a cold start) leave nothing to log. On several processes it shows the groups
    of the first. For resumed runs and full disks see ``StepLog``.
    """

    def __init__(
        self,
        groups_per_step: int | None = 8,
        every_n_steps: int = 20,
        pictures_per_step: int = 4,
        completions_per_picture: int = 4,
        picture_side: int | None = SIDE,
    ) -> None:
        """Choose how much is written.

        Args:
            groups_per_step: groups of each step that are written as JSON lines, the first ones; null for all.
                Of the other groups the unverifiable completions are written.
            every_n_steps: pictures and tables are made at step 0 and its multiples, if a logger takes them.
            pictures_per_step: groups that are shown then; first those with both right and wrong completions.
            completions_per_picture: of a group that are drawn: the best, the worst, others in between.
            picture_side: pixels that the longer side of a kept picture has at most, larger ones are shrunk;
                null to keep none.

        Raises:
            RefusedError: a number is out of range.
        """
        refuse_outside("Completions.groups_per_step", groups_per_step, 0, hint=", or null for all")
        refuse_outside("Completions.every_n_steps", every_n_steps, 1)
        refuse_outside("Completions.pictures_per_step", pictures_per_step, 0)
        refuse_outside("Completions.completions_per_picture", completions_per_picture, 1)
        refuse_outside("Completions.picture_side", picture_side, 16, hint=", or null to keep none")
        super().__init__(FILE)
        self.groups_per_step = groups_per_step
        self.every_n_steps = every_n_steps
        self.pictures_per_step = pictures_per_step
        self.completions_per_picture = completions_per_picture
        self.picture_side = picture_side
        self._pictures_warned = False

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step that has just ended."""
        if not trainer.is_global_zero or not outputs or "experience" not in outputs:
            return
        experience, step = outputs["experience"], pl_module.data.step - 1
        asked = partial(self._asked, pl_module, Path(trainer.default_root_dir))
        self.write(list(records(experience, step, self.groups_per_step, asked)))
        if step % self.every_n_steps == 0:
            self._show(trainer.loggers, experience, step)

    def _asked(self, pl_module: Any, run_dir: Path, problem: Problem) -> dict[str, Any]:
        """Return what the first line of a group says besides; pictures that cannot be written are null."""
        asked = asked_record(problem, pl_module.answerer.renderer.chat(problem))
        if self.picture_side is not None:
            asked["pictures"] = []
            for picture in problem.pictures:
                try:
                    asked["pictures"].append(keep_picture(picture, run_dir, self.picture_side))
                except OSError as error:
                    self._warn_of_pictures(error)
                    asked["pictures"].append(None)
        return asked

    def _warn_of_pictures(self, error: OSError) -> None:
        if not self._pictures_warned:
            rank_zero_warn(f"pictures of {FILE} cannot be written: {error}. Training goes on without them")
        self._pictures_warned = True

    def _show(self, loggers: Sequence[Logger], experience: Experience, step: int) -> None:
        places = telling(experience)[: self.pictures_per_step]
        if any(map(takes_pictures, loggers)):
            for number, place in enumerate(places):
                page = draw_group(
                    experience.groups[place],
                    experience.scores[place],
                    experience.advantages_P_G[place].tolist(),
                    experience.weights_P_G[place].tolist(),
                    self.completions_per_picture,
                )
                show_picture(loggers, f"zoom_completions/{number}", page, step)
        if places and any(hasattr(logger, "log_table") for logger in loggers):
            show_table(loggers, "zoom_completions/table", *table(experience, places, step), step)


def telling(experience: Experience) -> list[int]:
    """Return the places of all groups, in order, those with right and wrong completions first."""
    pass_rates = experience.pass_rates_P.tolist()
    return sorted(range(len(pass_rates)), key=lambda place: not 0 < pass_rates[place] < 1)


def records(
    experience: Experience,
    step: int,
    groups: int | None = None,
    asked: Callable[[Problem], Mapping[str, Any]] = lambda problem: {},
) -> Iterator[dict[str, Any]]:
    """Yield one record per completion, in order; floats are rounded to 6 digits.

    Args:
        experience: of a step.
        step: rollouts finished before it.
        groups: of so many groups, the first ones, and of the others what is unverifiable; None for all.
        asked: what the first record of each group says of its problem besides.
    """
    for place, group in enumerate(experience.groups):
        kept = [
            record
            for record in group_records(experience, place, step)
            if groups is None or place < groups or record["verdict"] == str(Verdict.UNVERIFIABLE)
        ]
        if kept:
            kept[0] |= asked(group.problem)
        yield from kept


def group_records(experience: Experience, place: int, step: int) -> Iterator[dict[str, Any]]:
    """Yield one record per completion of a group; see ``records``."""
    group = experience.groups[place]
    advantages_G, weights_G = (
        experience.advantages_P_G[place].tolist(),
        experience.weights_P_G[place].tolist(),
    )
    for completion, score, advantage, weight in zip(
        group.completions, experience.scores[place], advantages_G, weights_G, strict=True
    ):
        yield {
            "step": step,
            **completion_record(group.problem, completion, score),
            "weight": round(weight, DIGITS),
            "pass_rate": round(float(experience.pass_rates_P[place]), DIGITS),
            "advantage": round(advantage, DIGITS),
        }


def table(experience: Experience, places: Sequence[int], step: int) -> tuple[list[str], list[list[Any]]]:
    """Return the completions of some groups as the columns and the rows of a table, pictures first.

    Args:
        experience: of a step.
        places: of the groups.
        step: rollouts finished before it.
    """
    most = max(len(experience.groups[place].problem.pictures) for place in places)
    columns = ["picture", *(f"picture {number}" for number in range(2, most + 1))][:most]
    rows: list[list[Any]] = []
    for place in places:
        pictures: list[Any] = [picture.load() for picture in experience.groups[place].problem.pictures]
        pictures += [None] * (most - len(pictures))
        rows += [
            [*pictures, *(record[name] for name in TABLE)]
            for record in group_records(experience, place, step)
        ]
    return [*columns, *TABLE], rows
