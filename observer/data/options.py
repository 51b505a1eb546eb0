"""The options of the data module, apart from Lightning: a preview of the draws reads them in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from observer.curriculum import Draws, LadderIndex, Random
from observer.data.row_record import RowRecord
from observer.data.rows import RowFormat, Rows
from observer.refusal import refuse_outside


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

        Raises:
            RefusedError: a number is out of range.
        """
        super().__init__()
        refuse_outside("data.prompts_per_step", prompts_per_step, 1)
        refuse_outside("data.eval_batch", eval_batch, 1)
        refuse_outside("data.steps_per_epoch", steps_per_epoch, 1, hint=", or null")
        test = test if test is not None else val
        predict = predict if predict is not None else test
        self.formats = {"train": train, "val": val, "test": test, "predict": predict}
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
