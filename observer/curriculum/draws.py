"""What a run draws, how far it is and what it has shown: the state that decides what comes next.

Batches are those of all ranks together. It opens no rows, cuts no slices and needs no trainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed
from observer.strategies import described, with_present_names
from observer.types import RefusedError

OF_THE_ROWS = {"rows", "ladder", "first row", "last row"}
"""What tells data sets apart: where one of them differs, row numbers mean other rows."""


class Draws:
    """The draws of a run: ``draw``, ``again``, ``finish``, ``state_dict``, ``load_state_dict``.

    A draw follows from the state alone, so that a resumed run draws what the unbroken one would have drawn.

    Args:
        index: the rows; None until they are known, which must be before the first draw.
        schedule: what each step draws.
        prompts_per_step: P over all ranks, prompts of one rollout.
        horizon: rollouts of the run.
        seed: of the draws.

    >>> from observer.curriculum import Sorted
    >>> draws = Draws(LadderIndex([0.5, 0.0, 1.0, 0.25], [1.0] * 4, [0] * 4), Sorted(), 2, horizon=2)
    >>> draws.draw(draws.step)
    [1, 3]
    >>> draws.finish([1, 3], [1.0, 0.5])
    >>> draws.step, draws.draw(draws.step), next(draws.again(draws.step))
    (1, [0, 2], [1, 3])
    """

    def __init__(
        self,
        index: LadderIndex | None,
        schedule: Schedule,
        prompts_per_step: int,
        horizon: int = 1,
        seed: int = 0,
    ) -> None:
        self.index = index
        self.schedule = schedule
        self.prompts_per_step = prompts_per_step
        self.horizon = horizon
        self.seed = seed
        self.step = 0
        """Rollouts finished."""
        self.observed: tuple[Sequence[int], Sequence[float]] = ((), ())
        """Rows of the global batch of the last finished rollout, and their pass rates."""
        self.in_common: dict[str, Any] = {}
        """What else a resumed run must have in common with this one, name -> value: builtins."""

    def draw(self, step: int) -> list[int]:
        """Return the rows of the global batch of a step.

        Raises:
            RefusedError: the ladder cannot fill the batch.
            RuntimeError: the schedule did not draw as many distinct rows as it was asked for.
        """
        return self.schedule.batch(self._request(step))

    def again(self, step: int) -> Iterator[list[int]]:
        """Yield other rows for a step, draw after draw of the same schedule: none that it has drawn before.

        They follow from the step and the number of the draw alone. There may be fewer in a draw than prompts
        of a step, or none.

        Args:
            step: the rollout.
        """
        assert self.index is not None
        drawn = set(self.draw(step))
        for number in count(1):
            rows = self.schedule.batch(self._request(step, seed=stable_seed(self.seed, "again", number)))
            if drawn.issuperset(rows):  # where chance has no say, what comes next is in a larger draw
                size = min(len(drawn) + self.prompts_per_step, len(self.index))
                with suppress(RefusedError):  # there are no more
                    rows = self.schedule.batch(self._request(step, size=size))
            fresh = [row for row in rows if row not in drawn]
            drawn.update(rows)
            yield fresh

    def finish(self, rows: Sequence[int], pass_rates: Sequence[float]) -> None:
        """Count a rollout as finished and note what it showed. Every rank must call it with the same values.

        Args:
            rows: the rows of the global batch.
            pass_rates: share of correct completions of each, in [0, 1].
        """
        assert self.index is not None
        self.index.observe(rows, pass_rates, self.step)
        self.index.memory = self.schedule.memory_after(self._request(self.step), rows, pass_rates)
        self.observed = (rows, pass_rates)
        self.step += 1

    @property
    def stage(self) -> str | None:
        """The name that the schedule gives the stage of the next step; None where it has none."""
        return self.schedule.stage_name(self._request(self.step))

    def _request(self, step: int, size: int | None = None, seed: int | None = None) -> DrawRequest:
        assert self.index is not None, "no rows are known yet"
        size, seed = size or self.prompts_per_step, self.seed if seed is None else seed
        return DrawRequest(self.index, step, size, self.horizon, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the run is, what it has shown and what decides its draws: builtins and tensors."""
        assert self.index is not None
        return {
            "step": self.step,
            "horizon": self.horizon,
            "ladder": self.index.state_dict(),
            "draws": self._decisive(),
        }

    def load_state_dict(
        self, state: dict[str, Any], allow_other_draws: bool = False, rows: Mapping[str, str] | None = None
    ) -> list[str]:
        """Go on where a checkpoint left off.

        Args:
            state: what ``state_dict`` returned.
            allow_other_draws: go on with another schedule, data, seed or number of prompts. What was seen of
                other data, and what another schedule remembered, is forgotten.
            rows: split -> how its rows differ from the checkpoint's, a sentence; ``train`` is drawn from.

        Returns:
            What differs from here on, a sentence each.

        Raises:
            RefusedError: the checkpoint's draws were made otherwise than this run's would be, or of other
                rows, and that was not allowed; names both values, or says how they differ.
        """
        assert self.index is not None
        rows = rows or {}
        saved, now = dict(state["draws"]), self._decisive()
        saved["schedule"] = with_present_names("schedule", saved["schedule"])
        changed = [name for name, value in now.items() if saved[name] != value]
        for name in changed:
            # Lightning's own count of the epoch's batches is in the checkpoint too.
            if name == "steps_per_epoch" or not allow_other_draws:
                mend = (
                    f"set data.steps_per_epoch to {saved[name]}"
                    if allow_other_draws
                    else "resume with the configuration it was started with, or set data.allow_other_draws"
                )
                told = f" ({rows['train']})" if name in OF_THE_ROWS and "train" in rows else ""
                raise RefusedError(
                    f"cannot resume: the checkpoint was drawn with {name} {saved[name]}, this run has "
                    f"{now[name]}; {mend}{told}"
                )
        if rows and not allow_other_draws:
            raise RefusedError(
                f"cannot resume: {'; '.join(rows.values())}; bring the rows back, or set "
                f"data.allow_other_draws"
            )
        for name, least in (("step", 0), ("horizon", 1)):
            if type(state[name]) is not int or not least <= state[name] < 2**53:
                raise ValueError(f"{name} is {repr(state[name])[:80]}")
        self.step = state["step"]
        self.horizon = state["horizon"]  # a run that is made longer does not rewind its curriculum
        if OF_THE_ROWS.isdisjoint(changed) and "train" not in rows:
            self.index.load_state_dict(state["ladder"])
        if "schedule" in changed:
            self.index.memory = {}
        self._rehearse()
        return [
            *(f"draws differ from here on: {name} was {saved[name]}, it is {now[name]}" for name in changed),
            *(f"rows differ from here on: {change}" for change in rows.values()),
        ]

    def _rehearse(self) -> None:
        """Draw the next step and remember it, both without effect: what was restored must serve for that."""
        assert self.index is not None
        if int(self.index.last_step_R.max()) >= self.step:
            raise ValueError(f"a row was seen at step {int(self.index.last_step_R.max())}, after {self.step}")
        if int(self.index.visits_R.max()) > self.step:
            raise ValueError(f"a row has {int(self.index.visits_R.max())} visits in {self.step} steps")
        with suppress(RefusedError):  # of the step, when it comes
            rows = self.draw(self.step)
            self.schedule.memory_after(self._request(self.step), rows, [0.5] * len(rows))

    def _decisive(self) -> dict[str, Any]:
        """Return what decides which rows are drawn."""
        assert self.index is not None
        return {
            "seed": self.seed,
            "prompts_per_step": self.prompts_per_step,
            "rows": len(self.index),
            "ladder": self.index.digest,
            **self.in_common,
            "schedule": described(self.schedule),
        }
