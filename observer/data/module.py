"""The data module: opens rows, has them checked before training, and cuts each draw into the ranks' slices.

What decides which rows come next, such as ``step``, is in its ``draws``, whose state goes into checkpoints.
It renders nothing and scores nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from observer.curriculum import LadderIndex, Schedule
from observer.data.checks.admission import Faults, refused_rows
from observer.data.checks.admission_cache import AdmissionCache
from observer.data.checks.held_out import refuse_few, refuse_unmeasurable
from observer.data.options import LadderOptions
from observer.data.rows import Rows
from observer.data.sampler import LadderBatchSampler, ProblemSet, ResumableLoader
from observer.data.subset import Subset, list_skipped
from observer.data.validation_part import OneSide
from observer.rollout import PromptRenderer
from observer.run.checkpoints import restoring
from observer.run.other_ranks import waiting_for_ranks
from observer.run.waiting import waiting
from observer.types import Problem, RefusedError
from observer.verifier import Verifier

T = TypeVar("T")
NEEDED = {"validate": "val", "test": "test", "predict": "predict"}
"""The rows of each stage of the trainer that measures."""
SHOWN = 10
"""Refused rows that one message lists."""


class LadderDataModule(LadderOptions, lightning.LightningDataModule):
    """Problems for training, drawn by a schedule from easy to hard or otherwise, and held-out problems."""

    @property
    def step(self) -> int:
        """Rollouts finished."""
        return self.draws.step

    @step.setter
    def step(self, step: int) -> None:
        self.draws.step = step

    @property
    def horizon(self) -> int:
        """Rollouts of the run."""
        return self.draws.horizon

    @horizon.setter
    def horizon(self, horizon: int) -> None:
        self.draws.horizon = horizon

    @property
    def schedule(self) -> Schedule:
        """What each step draws."""
        return self.draws.schedule

    @schedule.setter
    def schedule(self, schedule: Schedule) -> None:
        self.draws.schedule = schedule

    @property
    def index(self) -> LadderIndex | None:
        """The rows that are trained on, and what was seen of them; None before they were admitted."""
        return self.draws.index

    @index.setter
    def index(self, index: LadderIndex | None) -> None:
        self.draws.index = index

    @property
    def observed(self) -> tuple[Sequence[int], Sequence[float]]:
        """Rows of the global batch of the last finished rollout, and their pass rates."""
        return self.draws.observed

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return self.draws.seed

    @property
    def stage(self) -> str | None:
        """The name that the schedule gives the stage of the next step; None where it has none."""
        return self.draws.stage

    @property
    def steps_per_epoch(self) -> int:
        """Rollouts of an epoch, which is the logging and validation period and nothing else."""
        return self._steps_per_epoch or max(1, len(self.rows["train"]) // self.prompts_per_step)

    def setup(self, stage: str) -> None:
        """Open what a stage needs.

        Raises:
            RefusedError: a source that the stage needs is not configured, or its rows are refused.
        """
        if (connector := getattr(self.trainer, "_accelerator_connector", None)) is not None:
            # The loaders yield a rank's own rows. Lightning would share these out among the ranks once more.
            connector.use_distributed_sampler = False
        # Rows are a few strings; pictures are decoded by threads inside the step.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # There may be no held-out rows.
        warnings.filterwarnings("ignore", ".*Total length of `list` across ranks is zero.*")
        for split in ("train", "val", "test") if stage == "fit" else (NEEDED[stage],):
            row_format = self.formats[split]
            if row_format is None and (split == "train" or stage != "fit"):
                raise RefusedError(f"data.{split} is not set; name a row format and its options")
            if row_format is not None and split not in self.rows:
                with waiting("rows are read", f"data.{split}"):
                    self.rows[split] = row_format.read()
        if isinstance(self.formats["train"], OneSide) and stage == "fit":
            train, val = len(self.rows["train"]), len(self.rows["val"])
            rank_zero_info(f"data.val: {val} of {train + val} rows are held out of data.train")

    def admit(self, renderer: PromptRenderer, verifier: Verifier, folder: Path) -> None:
        """Check every opened row, before any compute, and build the ladder's index.

        This renders the length of each row's prompt and verifies each distinct gold answer that is an
        expression. Other gold answers were checked when the row was read. Rows whose check is in the cache
        cost nothing.

        Args:
            renderer: the policy's; it knows how long a prompt is.
            verifier: the rubric's; it checks gold answers of kinds that need a process of their own.
            folder: the run directory: for ``skipped_rows.jsonl``, when rows are left out, and ``rows/``.

        Raises:
            RefusedError: rows that cannot be rendered or verified and may not be skipped, a level that
                held-out figures cannot name, too few rows for a step, or fewer held-out rows than ranks.
        """
        self._folder = folder
        for split, rows in self.rows.items():
            row_format = self.formats[split]
            with waiting("rows are checked", f"data.{split}, {len(rows)}"):
                bad = self._refused(rows, renderer, verifier)
            if bad and getattr(row_format, "on_bad_row", "refuse") != "skip":
                first = "\n".join(str(error) for _, error in bad[:SHOWN])
                raise RefusedError(f"data.{split}: {len(bad)} rows are refused, the first:\n{first}")
            if bad:
                self.rows[split] = Subset(rows, bad)
                if split == "train":
                    self.index = None  # its rows have other numbers
            if split != "train":
                refuse_unmeasurable(split, self.rows[split], self._world_size)
            if left_out := len(self.rows[split].skipped):
                rank_zero_info(
                    f"data.{split}: {left_out} rows are left out, see {folder / 'skipped_rows.jsonl'}"
                )
        if self._rank == 0:
            list_skipped(folder / "skipped_rows.jsonl", {s: rows.skipped for s, rows in self.rows.items()})
        if "train" in self.rows and self.index is None:
            self._open_draws(self.rows["train"])

    def _open_draws(self, rows: Rows) -> None:
        refuse_few(rows, self.prompts_per_step)
        self.index = rows.index()
        self.draws.in_common = {
            "steps_per_epoch": self.steps_per_epoch,
            "first row": rows[0].id,
            "last row": rows[len(rows) - 1].id,
        }

    def _refused(
        self, rows: Rows, renderer: PromptRenderer, verifier: Verifier
    ) -> list[tuple[int, RefusedError]]:
        cache = AdmissionCache(rows, renderer, verifier)
        known = cache.find()
        # The ranks check together or not at all: a rank that found the cache would leave the others waiting.
        if not all(self.of_all_ranks(known is not None)) or known is None:
            known = refused_rows(rows, renderer, verifier, self._rank, self._world_size, self._joined)
            cache.keep(known)
        return known

    def draw(self, step: int) -> list[int]:
        """Return the rows of the global batch of a step."""
        return self.draws.draw(step)

    def draw_again(self, step: int) -> Iterator[list[int]]:
        """Yield other rows for a step, draw after draw: of each this rank's own; see ``Draws.again``."""
        return (rows[self._rank :: self._world_size] for rows in self.draws.again(step))

    def problems(self, rows: Sequence[int]) -> list[Problem]:
        """Return the problems of rows that are trained on."""
        return [self.rows["train"][row] for row in rows]

    def finish_step(self, rows: Sequence[int], pass_rates: Sequence[float]) -> None:
        """Count a rollout as finished and note what it showed; with the same values on every rank."""
        self.draws.finish(rows, pass_rates)

    def train_dataloader(self) -> DataLoader[Problem]:
        """Return row batches from ``step`` on, this rank's slice of each."""
        sampler = self._sampler(self._draw_next)
        return ResumableLoader(ProblemSet(self.rows["train"]), batch_sampler=sampler, collate_fn=list)

    def _draw_next(self, step: int) -> list[int]:
        if self.before_draw is not None:
            assert self.index is not None
            self.before_draw(self.index, step)
        return self.draw(step)

    def upcoming(self) -> list[Problem]:
        """Return the problems that the next step will draw, to prepare them; none after the last step.

        The draw may change when the schedule depends on the pass rates of the current step.
        """
        step = self.step + 1
        return self.problems(self._sampler(self.draw).at(step)) if step < self.horizon else []

    def _sampler(self, draw: Callable[[int], list[int]]) -> LadderBatchSampler:
        return LadderBatchSampler(
            start=lambda: self.step,
            draw=draw,
            steps_per_epoch=self.steps_per_epoch,
            rank=self._rank,
            world_size=self._world_size,
        )

    def val_dataloader(self) -> DataLoader[Problem] | list[Any]:
        """Return the held-out problems that choose the best checkpoint; none when there are none."""
        return self._held_out("val") if "val" in self.rows else []

    def test_dataloader(self) -> DataLoader[Problem] | list[Any]:
        """Return the held-out problems for the figures before and after; none when there are none."""
        return self._held_out("test") if "test" in self.rows else []

    def predict_dataloader(self) -> DataLoader[Problem]:
        """Return the problems that ``predict`` answers, this rank's of each batch."""
        return self._held_out("predict")

    def _held_out(self, split: str) -> DataLoader[Problem]:
        mine = range(self._rank, len(self.rows[split]), self._world_size)
        return DataLoader(
            ProblemSet(self.rows[split]), batch_size=self.eval_batch, sampler=mine, collate_fn=list
        )

    def transfer_batch_to_device(
        self, batch: list[Problem], device: torch.device, dataloader_idx: int
    ) -> list[Problem]:
        """Return problems as they are: they hold nothing that lives on a device."""
        return batch

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def _joined(self, faults: Faults) -> Faults:
        """Return the faults that all ranks found together."""
        return {gold: fault for found in self.of_all_ranks(faults) for gold, fault in found.items()}

    def of_all_ranks(self, mine: T) -> list[T]:
        """Return what each rank has, by rank; every rank must call it. For what tensors do not hold."""
        if self.trainer is None:
            return [mine]
        with waiting_for_ranks("what each has found", self._world_size):
            return [self.trainer.strategy.broadcast(mine, src=rank) for rank in range(self._world_size)]

    @property
    def digests(self) -> dict[str, str]:
        """A digest of all rows of each split that is open; see ``observer.data.fingerprints``."""
        return self._record.digests(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the run is and digests of its rows: builtins and tensors only.

        The fingerprints that the digests are of are in the run directory from then on.
        """
        if self._rank == 0:
            self._record.write(self.rows, self._folder)
        return {**self.draws.state_dict(), "fingerprints": self.digests}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint left off.

        Raises:
            RefusedError: the checkpoint's draws were made otherwise than this run's would be, or its rows
                were others, and that was not allowed; names both values, or how many rows differ.
        """
        if self.draws.index is None:  # validate and test read weights only
            return
        path = getattr(self.trainer, "ckpt_path", None)
        folders = [self._folder, *([Path(path).absolute().parent.parent] if path else [])]
        with restoring(path or "state", "LadderDataModule"):
            saved = state_dict.get("fingerprints")
            if saved is None:
                rank_zero_info("a checkpoint of an earlier version, without digests: rows are not compared")
            changes = self._record.changes(self.rows, {} if saved is None else saved, folders)
            told = self.draws.load_state_dict(state_dict, self.allow_other_draws, changes)
        for change in told:
            rank_zero_info(change)
