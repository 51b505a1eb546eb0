"""The callback that sets the schedule of a run and logs what was drawn.

The state that decides the draws (step, pass rates, the schedule's memory) belongs to the data module. The
callback keeps only the history that its heat map shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from observer.curriculum.heat_map import heat_map
from observer.curriculum.hooks import CurriculumHooks, checked_schedule
from observer.refusal import refuse_outside
from observer.run.curves import add_figures
from observer.run.loggers import show_picture, show_word, takes_pictures
from observer.types import Problem, RefusedError


class CurriculumCallback(CurriculumHooks, Callback):
    """Chooses which rows of the ladder each step draws.

    It changes which rows are drawn, never the reward, weight or loss of a sample. Without it, rows come in
    random order.

    To draw in another order, write a schedule::

        @dataclass(frozen=True)
        class Unseen(Schedule):
            \"\"\"Rows that were never visited, easy ones first, and then the easiest.\"\"\"

            def draw(self, request):
                visited = set(request.index.seen[0].tolist())
                easy_first = request.index.easy_to_hard.tolist()
                return sorted(easy_first, key=lambda row: row in visited)[: request.count]

        Trainer(callbacks=[CurriculumCallback(Unseen())])

    To watch or steer a run, subclass the callback and define ``before_draw``, ``after_observing`` or
    ``on_stage_change``::

        class Patient(CurriculumCallback):
            def after_observing(self, index, step, rows, pass_rates):
                print(f"step {step}: {sum(pass_rates) / len(pass_rates):.2f} right")

    What a subclass does must depend only on the step or on its own ``state_dict``; otherwise a resumed run
    differs.

    Per step it logs ``zoom_curriculum/difficulty``, ``complexity`` and ``level`` (means of the batch),
    ``coverage`` (share of the ladder that was ever drawn), ``repeats`` (share of the batch that was drawn
    before) and ``zoom_curriculum_share/<level>``. To loggers that take text and pictures it also gives the
    name of each new stage and a heat map of pass rates by level over the steps.

    Args:
        schedule: what each step draws; None for ``Random()``.
        heat_map_every_n_steps: how often the heat map is drawn, besides at the end; None for never.

    Raises:
        RefusedError: a number is out of range, or the schedule is none.
    """

    _alone = False
    """Whether the trainer is known to have no other curriculum."""

    @property
    def state_key(self) -> str:
        """The same for subclasses, so that a run that goes on with another class keeps its history.

        Until ``setup`` it is the class's own name: Lightning would refuse two curricula in words of its own.
        """
        return CurriculumCallback.__name__ if self._alone else type(self).__qualname__

    def on_stage_change(
        self, trainer: Trainer, pl_module: LightningModule, before: str | None, now: str
    ) -> None:
        """Give the name of a stage that begins to the loggers; the progress bar shows it anyway."""
        show_word(trainer.loggers, "zoom_curriculum/stage", now, trainer.datamodule.step)  # type: ignore[attr-defined]

    # Lightning's hooks

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Hand the schedule to the data module.

        Raises:
            RefusedError: the trainer has two curricula, or its data module has no ladder.
        """
        if stage != "fit":
            self._alone = True  # it has no part in other stages; the state of a checkpoint is its own
            return
        schedule = checked_schedule(self)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by Lightning's connector
        curricula = [callback for callback in callbacks if isinstance(callback, CurriculumCallback)]
        if len(curricula) > 1:
            names = ", ".join(type(callback).__name__ for callback in curricula)
            raise RefusedError(f"the trainer has {len(curricula)} curriculum callbacks ({names}); keep one")
        self._alone = True
        datamodule: Any = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "index"):
            raise RefusedError(
                f"a curriculum needs a data module with a ladder, this one is {type(datamodule).__name__}; "
                "pass a LadderDataModule, or leave the curriculum out"
            )
        datamodule.schedule = schedule
        datamodule.before_draw = self.before_draw

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the data module has the schedule.

        Raises:
            RefusedError: a subclass has a ``setup`` that leaves out this one's.
        """
        if getattr(trainer.datamodule, "schedule", None) != self.schedule:  # type: ignore[attr-defined]
            raise RefusedError(
                f"{type(self).__name__}.setup has not handed its schedule to the data module; call "
                "super().setup(trainer, pl_module, stage) in it"
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sequence[Problem], batch_idx: int
    ) -> None:
        """Log the batch's mean difficulty, complexity and level over all ranks; call ``on_stage_change``."""
        means = {
            "zoom_curriculum/difficulty": fmean(problem.difficulty for problem in batch),
            "zoom_curriculum/complexity": fmean(problem.complexity for problem in batch),
            "zoom_curriculum/level": fmean(problem.level for problem in batch),
        }
        step = getattr(trainer.datamodule, "step", batch_idx)  # type: ignore[attr-defined]
        add_figures(trainer, pl_module, means, step, over_ranks=True)
        now = getattr(trainer.datamodule, "stage", None)  # type: ignore[attr-defined]
        if now is not None and now != self._stage:
            self.on_stage_change(trainer, pl_module, self._stage, now)
        self._stage = now

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log coverage, repeats and level shares of the finished step; draw the heat map when it is due."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        (rows, pass_rates), index = getattr(data, "observed", ((), ())), data.index
        if not rows:  # this data module observes nothing
            return
        levels = index.level_R[torch.tensor(rows)].tolist()
        by_level: dict[int, list[float]] = {}
        for level, rate in zip(levels, pass_rates, strict=True):
            by_level.setdefault(level, []).append(rate)
        self._history.append({level: (len(rates), sum(rates)) for level, rates in sorted(by_level.items())})
        figures = {
            "zoom_curriculum/coverage": int(torch.count_nonzero(index.visits_R)) / len(index),
            "zoom_curriculum/repeats": float((index.visits_R[torch.tensor(rows)] > 1).double().mean()),
        }
        figures |= {
            f"zoom_curriculum_share/{level}": len(rates) / len(rows)
            for level, rates in sorted(by_level.items())
        }
        add_figures(trainer, pl_module, figures, data.step - 1)
        every = self.heat_map_every_n_steps
        if every is not None and data.step % every == 0:
            self._draw_heat_map(trainer)
        self.after_observing(index, data.step - 1, rows, pass_rates)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the heat map of the whole run."""
        if self.heat_map_every_n_steps is not None:
            self._draw_heat_map(trainer)

    def _draw_heat_map(self, trainer: Trainer) -> None:
        if self._history and trainer.is_global_zero and any(map(takes_pictures, trainer.loggers)):
            page = Image.fromarray(heat_map(self._history))
            step = trainer.datamodule.step  # type: ignore[attr-defined]
            show_picture(trainer.loggers, "zoom_curriculum/pass_rates", page, step)

    def state_dict(self) -> dict[str, Any]:
        """Return the class, the stage and each step's counts and pass rates by level: builtins only."""
        steps = [[[level, count, total] for level, (count, total) in step.items()] for step in self._history]
        return {"class": type(self).__name__, "stage": self._stage, "history": steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the stage and the history of a checkpoint."""
        stage = state_dict["stage"]
        if not (stage is None or isinstance(stage, str)):
            raise ValueError(f"stage is {stage!r}")
        for level, count, total in (cell for step in state_dict["history"] for cell in step):
            refuse_outside("the history's level", level, 0)
            refuse_outside("the history's count", count, 1)
            refuse_outside("the history's pass rates", total, 0, count)
        self._stage = stage
        self._history = [
            {level: (count, total) for level, count, total in step} for step in state_dict["history"]
        ]
