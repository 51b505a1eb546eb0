"""Writes what ``predict`` answers: a JSON line per completion, in a file that appears when it is whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

import lightning
from rich.console import Console

from observer.callbacks.kept_pictures import SIDE, keep_picture
from observer.learner import PolicyModule
from observer.learner.ranks import OverRanks
from observer.release.lmms_eval import Form, written
from observer.run.files import refuse_output, remove_unfinished, temporary_name, whole_file, writing
from observer.run.other_ranks import waiting_for_ranks
from observer.types import Problem, RefusedError, Verdict


class Predictions(lightning.Callback):
    """Writes the records of ``PolicyModule.predict_step``, and prints their means.

    Each process writes its own rows to a file of its own beside the output, batch by batch. At the end the
    first process puts them together in the order of the rows, so several processes need one file system. A
    killed process leaves nothing under the name of the output. Pictures are kept as those of a run are: by
    their content, in ``pictures/`` beside the output.

    Args:
        output: the file; must not exist.
        form: how they are written.
        task: name of the task of lmms-eval, where the form has one.
        pictures: whether they are kept, for the page of ``observer browse``.

    Raises:
        RefusedError: it exists.
    """

    def __init__(
        self, output: str | Path, form: Form = "jsonl", task: str = "", pictures: bool = False
    ) -> None:
        self.output = Path(output)
        self._form, self._task, self._pictures = form, task, pictures
        refuse_output(self.output)
        self._part: Path | None = None
        self._file: IO[str] | None = None
        self._counts: Counter[str] = Counter()

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open this process's file."""
        self._refuse_gaps(trainer)
        with writing(self.output):
            self.output.parent.mkdir(parents=True, exist_ok=True)
            if trainer.is_global_zero:
                remove_unfinished(self.output.parent, self.output.name)
            with waiting_for_ranks("the start", trainer.world_size):
                trainer.strategy.barrier()
            self._part = temporary_name(self.output)
            self._file = self._part.open("w", encoding="utf-8", errors="backslashreplace")
        self._counts.clear()

    def _refuse_gaps(self, trainer: lightning.Trainer) -> None:
        """Refuse rows that were left out, where documents are told apart by their number."""
        data = getattr(trainer, "datamodule", None)
        left = sum(len(rows.skipped) for rows in data.rows.values()) if data else 0
        if left and self._form != "jsonl":
            raise RefusedError(
                f"--format {self._form} numbers the documents, and {left} rows were left out (on_bad_row: "
                f"skip), which shifts the others; mend the rows, or write --format jsonl"
            )

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Sequence[dict[str, Any]],
        batch: Sequence[Problem],
        *_: Any,
    ) -> None:
        """Write and count a batch."""
        assert self._file is not None
        with writing(self.output):
            if self._pictures:
                firsts = outputs[:: pl_module.prediction_sampling.group_size]
                for record, problem in zip(firsts, batch, strict=True):
                    kept = [keep_picture(each, self.output.parent, SIDE) for each in problem.pictures]
                    record["pictures"] = kept
            self._file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in outputs)
            self._file.flush()
        for record in outputs:
            self._counts += Counter(
                completions=1,
                correct=record["verdict"] == Verdict.CORRECT,
                unverifiable=record["verdict"] == Verdict.UNVERIFIABLE,
                formatted=record["formatted"],
                cut=record["finish_reason"] == "length",
                tokens=record["tokens"],
            )

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Put the files of all processes together, and print the means."""
        assert self._file is not None
        with writing(self.output):
            self._file.close()
        names = ("completions", "correct", "unverifiable", "formatted", "cut", "tokens")
        sums = OverRanks(trainer).reduce({name: self._counts[name] for name in names}, "sum")
        with waiting_for_ranks("the files of all", trainer.world_size):
            files = [
                trainer.strategy.broadcast(str(self._part), src=rank) for rank in range(trainer.world_size)
            ]
        parts = [Path(file) for file in files]
        if trainer.is_global_zero:
            refuse_output(self.output)
            with whole_file(self.output, "wb") as whole:
                samples = pl_module.prediction_sampling.group_size
                whole.writelines(written(_in_order(parts, samples), self._form, self._task, samples))
            console = Console(soft_wrap=True)
            console.print(_means(sums))
            console.print(str(self.output), markup=False, highlight=False)
        with waiting_for_ranks("the end", trainer.world_size):
            trainer.strategy.barrier()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Remove this process's file."""
        if self._file is not None:
            with suppress(OSError):  # what was not written when it should have been cannot be now
                self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove this process's file."""
        self.teardown(trainer, pl_module, "predict")


def _in_order(parts: Sequence[Path], samples: int) -> Iterator[bytes]:
    """Yield lines in the order of the rows, of which process r has r, r + n, r + 2 n .."""
    with ExitStack() as stack:
        files = [stack.enter_context(part.open("rb")) for part in parts]
        while any(found := [list(islice(file, samples)) for file in files]):
            for lines in found:
                yield from lines


def _means(sums: dict[str, float]) -> str:
    count = sums["completions"]
    return (
        f"{count:,.0f} completions: accuracy {sums['correct'] / count:.3f}, formatted "
        f"{sums['formatted'] / count:.3f}, cut off {sums['cut'] / count:.3f}, unverifiable "
        f"{sums['unverifiable'] / count:.3f}, {sums['tokens'] / count:.1f} tokens per completion"
    )
