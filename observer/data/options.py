"""The options of the data module, apart from Lightning: a preview of the draws reads them in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from observer.curriculum import Draws, LadderIndex, Random
from observer.data.row_record import RowRecord
from observer.data.rows import RowFormat, Rows
from observer.data.validation_part import OneSide, ValidationSplit
from observer.refusal import refuse_outside
from observer.types import RefusedError


class LadderOptions:
    """Problems for training, drawn by a schedule from easy to hard or otherwise, and held-out problems.

    ``LadderDataModule`` is this with Lightning's hooks around it.
    """

    def __init__(
        self,
        train: RowFormat | None = None,
        val: RowFormat | None = None,
        test: RowFormat | None = None,
        prompts_per_step: int = 48,
        steps_per_epoch: int | None = None,
        eval_batch: int = 128,
        seed: int = 0,
        allow_other_draws: bool = False,
        predict: RowFormat | None = None,
        val_fraction: float | None = None,
        val_seed: int = 0,
    ) -> None:
        """Keep the options; nothing is opened before ``setup``.

        Args:
            train: the ladder that is trained on.
            val: held-out problems that choose the best checkpoint; needed to validate.
            test: held-out problems for the figures before and after training; None takes ``val``.
            prompts_per_step: P over all ranks, prompts of one rollout.
            steps_per_epoch: rollouts from one validation to the next; None for one pass over the ladder.
            eval_batch: problems evaluated at once.
            seed: seed of the draws.
            allow_other_draws: go on from a checkpoint with another schedule, data, seed or number of prompts
                than it was made with. Pass rates of other data and the memory of another schedule are
                dropped.
            predict: problems that ``predict`` answers; None takes ``test``.
            val_fraction: in place of ``val``: hold out about this share of the training rows, so that no
                picture, and no question without one, is on both sides.
            val_seed: which rows are held out. It is not ``seed``, so that runs with other seeds hold out the
                same rows.

        Raises:
            RefusedError: a number is out of range.
        """
        super().__init__()
        refuse_outside("data.prompts_per_step", prompts_per_step, 1)
        refuse_outside("data.eval_batch", eval_batch, 1)
        refuse_outside("data.steps_per_epoch", steps_per_epoch, 1, hint=", or null")
        self.formats = _formats(train, val, test, predict, val_fraction, val_seed)
        self.eval_batch = eval_batch
        self.allow_other_draws = allow_other_draws
        self._steps_per_epoch = steps_per_epoch
        self.rows: dict[str, Rows] = {}
        self._record, self._folder = RowRecord(), Path()
        self.draws = Draws(None, Random(), prompts_per_step, seed=seed)
        """What each step draws; its rows are known once they were admitted."""
        self.before_draw: Callable[[LadderIndex, int], None] | None = None
        """Called with the index and the step before its rows are drawn for training."""

    @property
    def prompts_per_step(self) -> int:
        """Prompts of one rollout, over all ranks."""
        return self.draws.prompts_per_step


def _formats(
    train: RowFormat | None,
    val: RowFormat | None,
    test: RowFormat | None,
    predict: RowFormat | None,
    val_fraction: float | None,
    val_seed: int,
) -> dict[str, RowFormat | OneSide | None]:
    """Return the source of each split's rows."""
    trained: RowFormat | OneSide | None = train
    held_out: RowFormat | OneSide | None = val
    if val_fraction is not None:
        if val is not None:
            raise RefusedError(
                f"data.val_fraction is {val_fraction:g}, and data.val names rows; set one of them"
            )
        if train is None:
            raise RefusedError(f"data.val_fraction is {val_fraction:g}, and data.train is not set; name rows")
        split = ValidationSplit(train, val_fraction, val_seed)
        trained, held_out = OneSide(split, "train"), OneSide(split, "val")
    measured = test if test is not None else held_out
    answered = predict if predict is not None else measured
    return {"train": trained, "val": held_out, "test": measured, "predict": answered}
