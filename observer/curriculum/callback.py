"""The curriculum as a user meets it: one callback that takes a schedule.

It hands the schedule to the data module and logs what was drawn. It has no state: the data module owns the
step and the pass rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from observer.curriculum.random_order import Random
from observer.curriculum.schedules import Schedule
from observer.types import Problem, RefusedError


class CurriculumCallback(Callback):
    """Chooses which rows of the ladder each step draws.

    It changes what is drawn, never what a sample is worth: without it, rows come in random order and the
    mathematics of a sample is the same.

    To draw in another order, write a schedule::

        @dataclass(frozen=True)
        class Unseen(Schedule):
            \"\"\"Rows that were never visited, easy ones first, and then the easiest.\"\"\"

            def draw(self, ladder, step, count, horizon, seed):
                visited = set(ladder.seen[0].tolist())
                return sorted(ladder.easy_to_hard.tolist(), key=lambda row: row in visited)[:count]

        Trainer(callbacks=[CurriculumCallback(Unseen())])

    To log more, subclass the callback::

        class Easiest(CurriculumCallback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
                pl_module.log("curriculum/easiest", min(problem.difficulty for problem in batch))

    What a subclass does must follow from the step or its own ``state_dict``, or a resumed run differs.

    Args:
        schedule: what each step draws; None for ``Random()``.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = Random() if schedule is None else schedule

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Hand the schedule to the data module.

        Raises:
            RefusedError: the trainer has two curricula, or its data module has no ladder.
        """
        if stage != "fit":
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by Lightning's connector
        curricula = [callback for callback in callbacks if isinstance(callback, CurriculumCallback)]
        if len(curricula) > 1:
            names = ", ".join(type(callback).__name__ for callback in curricula)
            raise RefusedError(f"the trainer has {len(curricula)} curriculum callbacks ({names}); keep one")
        datamodule: Any = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "ladder"):
            raise RefusedError(
                f"a curriculum needs a data module with a ladder, this one is {type(datamodule).__name__}; "
                "pass a LadderDataModule, or leave the curriculum out"
            )
        datamodule.schedule = self.schedule

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sequence[Problem], batch_idx: int
    ) -> None:
        """Log the batch's mean difficulty, complexity and level, over all ranks."""
        means = {
            "curriculum/difficulty": fmean(problem.difficulty for problem in batch),
            "curriculum/complexity": fmean(problem.complexity for problem in batch),
            "curriculum/level": fmean(problem.level for problem in batch),
        }
        pl_module.log_dict(means, on_step=True, on_epoch=False, batch_size=len(batch), sync_dist=True)
