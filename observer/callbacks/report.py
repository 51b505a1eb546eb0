"""Held-out figures before and after training as a table and ``summary.json``; the trained model."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from rich.console import Console
from rich.table import Table

from observer.callbacks.costs import Costs
from observer.callbacks.ending import MAX_TIME, ended_by, ended_by_exception
from observer.callbacks.learning_curve import LearningCurve, by_level, curve_line
from observer.learner import PolicyModule
from observer.learner.restoring import frozen_digest
from observer.metrics.outcomes import BEFORE, Outcomes, outcome_table, write_outcomes
from observer.metrics.outcomes import FILE as OUTCOMES_FILE
from observer.policy import write_policy
from observer.release.files import released_files, run_figures
from observer.run.curves import log_now
from observer.run.directory import claim
from observer.run.environment import FILE, WEIGHTS_OF, environment, weights_digest
from observer.run.files import causes, write_json, writing
from observer.types import LostInputError


class RunReport(lightning.Callback):
    """Measures held-out problems before and after, writes ``summary.json`` and exports the trained model.

    ``summary.json`` says ``running`` from the start and ``complete`` only at the very end; a run that ran out
    of ``trainer.max_time`` says ``stopped`` there, one that was stopped says ``interrupted``, one that failed
    says ``failed`` and why. ``ended_by`` names the option, callback, signal or exception that ended it.
    Figures measured before training are kept in ``before.json``: a resumed run does not measure them again.
    ``curve.jsonl`` has a line for each evaluation, ``heldout.parquet`` each answer of the last one and
    ``heldout_before.parquet`` each before training.

    ``environment.json`` says where the run was made: digests of the rows and of the weights it started from,
    versions, the git state of the working directory, hardware. A resumed run adds a file of its own. The
    record is in every checkpoint and in the export.
    """

    def __init__(
        self,
        export: bool = True,
        export_dtype: Literal["float32", "bfloat16"] | None = None,
        measure_before: bool = True,
    ) -> None:
        """Choose what is written at the end.

        Args:
            export: write the trained model to ``export/`` of the run directory.
            export_dtype: type of the weights in it; null is the one that loses nothing: float32 with
                adapters, else that of the policy.
            measure_before: measure the held-out problems before training too. Runs of a grid that share a
                start need it once, and not once each.
        """
        self.export = export
        self.export_dtype = export_dtype
        self.measure_before = measure_before
        self.before: dict[str, float] | None = None
        self.record: dict[str, Any] = {}
        """What ``environment.json`` says."""
        self.costs, self.curve = Costs(), LearningCurve()
        self._began = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Claim the run directory, and read what an earlier process measured before training."""
        if trainer.is_global_zero:
            claim(trainer.default_root_dir, resume=trainer.ckpt_path is not None)
        self._note_environment(trainer, pl_module)
        self.costs.start()
        self._began = False
        file = Path(trainer.default_root_dir) / "before.json"
        resumed = trainer.ckpt_path is not None and file.is_file()
        self.before = json.loads(file.read_text(encoding="utf-8")) if resumed else None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Measure the held-out problems before training, unless that was not wanted."""
        self.costs.start()
        self._began, step = True, pl_module.data.step
        anew = self.before is None and not step
        self.curve.open(trainer, -1 if anew else step)
        if anew:
            self.before = self._measure_rows(trainer, pl_module, BEFORE) if self.measure_before else {}
            if trainer.is_global_zero:
                write_json(Path(trainer.default_root_dir) / "before.json", self.before)
            log_now(trainer, _results(self.before), 0)
            self._draw_on(trainer, pl_module, "test", self.before)
        self._forget_outcomes(trainer)
        self._write(trainer, pl_module, {"status": "running"})
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            resumed = f"environment.resumed-{len(list(folder.glob('environment.resumed-*.json'))) + 1}.json"
            write_json(folder / (resumed if trainer.ckpt_path else FILE), self.record)
        pl_module.clock.restart()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Start to count a step."""
        self.costs.start_step(pl_module)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Count the step."""
        self.costs.end_step(pl_module, outputs)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Add a validation to the learning curve: before its checkpoint, which counts on the line."""
        if trainer.state.fn is TrainerFn.FITTING and not trainer.sanity_checking:
            self._draw_on(trainer, pl_module, "val", pl_module.validated)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Measure again, export, write the summary, print the table: when the last checkpoint is saved."""
        pl_module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU by now
        before, after = self.before or {}, self._measure_rows(trainer, pl_module, OUTCOMES_FILE)
        log_now(trainer, _results(after), pl_module.data.step)
        if after and not self._began:  # nothing was left to train, and the line of the end is written again
            self.curve.open(trainer, pl_module.data.step)
        self._draw_on(trainer, pl_module, "test", after)
        folder, end = Path(trainer.default_root_dir), ended_by(trainer)
        export = self.export and not trainer.fast_dev_run  # type: ignore[attr-defined]
        if export and (trainer.is_global_zero or pl_module.policy.sharding is not None):
            dtype = getattr(torch, self.export_dtype) if self.export_dtype else None
            beside = self._beside(folder, pl_module, bool(after)) if trainer.is_global_zero else None
            if told := write_policy(folder / "export", pl_module.policy, dtype, self.record, beside):
                Console().print(told, soft_wrap=True)
        status = {"status": "stopped" if end == MAX_TIME else "complete", "ended_by": end}
        summary = self._write(trainer, pl_module, {**status, **_compare(before, after)})
        if trainer.is_global_zero:
            if after:
                Console().print(table(before, after, summary))
            for line in _told(summary, self._began):
                Console().print(line, soft_wrap=True)
            where = f"model in {folder / 'export'}, " if export else ""
            Console().print(f"{where}figures in {folder / 'summary.json'}", style="dim", soft_wrap=True)

    @staticmethod
    def _measure(pl_module: PolicyModule, outcomes: Outcomes) -> dict[str, float]:
        """Return figures of the held-out problems that ``trainer.limit_test_batches`` leaves."""
        loader, limit = pl_module.data.test_dataloader(), pl_module.trainer.limit_test_batches
        batches = int(limit * len(loader)) if isinstance(limit, float) else limit
        return pl_module.evaluate(islice(loader, batches), outcomes) if batches else {}

    def _measure_rows(
        self, trainer: lightning.Trainer, pl_module: PolicyModule, file: str
    ) -> dict[str, float]:
        """Return the figures of the held-out problems, if there are any, and write each answer."""
        rows = pl_module.data.rows.get("test")
        if rows is None:
            return {}
        outcomes = Outcomes(rows.source_name)
        figures = self._measure(pl_module, outcomes)
        of_all_ranks = chain.from_iterable(pl_module.data.of_all_ranks(outcomes.gathered))
        if figures and trainer.is_global_zero:
            write_outcomes(Path(trainer.default_root_dir) / file, outcome_table(of_all_ranks))
        return figures

    def _beside(self, folder: Path, pl_module: PolicyModule, measured: bool) -> dict[str, str]:
        """Return the files that the exported model takes along: card, response format."""
        return released_files(
            asdict(pl_module.spec),
            pl_module.policy.model.config.model_type,
            pl_module.recipe(),
            self.record,
            pl_module.data.step,
            pl_module.answerer.rubric.response_format,
            run_figures(folder) if measured else None,
        )

    def _draw_on(
        self,
        trainer: lightning.Trainer,
        pl_module: PolicyModule,
        split: Literal["test", "val"],
        figures: Mapping[str, float],
    ) -> None:
        """Add an evaluation to the learning curve, where there was something to measure."""
        if figures and trainer.is_global_zero:
            self.curve.write([curve_line(pl_module.data.step, split, self.costs.so_far, figures)])

    @staticmethod
    @rank_zero_only
    def _forget_outcomes(trainer: lightning.Trainer) -> None:
        """Remove the outcomes of an end that was none: they are not those of this model for much longer."""
        path = Path(trainer.default_root_dir) / OUTCOMES_FILE
        with writing(path):
            path.unlink(missing_ok=True)

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Say in ``summary.json`` that the run was stopped, or that it failed and why."""
        self.curve.on_exception(trainer, pl_module, exception)
        if not self._began:  # it was refused: what an earlier process wrote stays
            return
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        lost = next((cause for cause in causes(exception) if isinstance(cause, LostInputError)), None)
        record = {"status": "interrupted"} if stopped or lost else {"status": "failed"}
        if not stopped:
            record["error"] = f"{lost or exception!r}"
        record["ended_by"] = ended_by_exception(lost or exception)
        try:
            self._write(trainer, pl_module, record)
        except OSError as error:  # must not hide why the run ends, of which it may be a consequence
            rank_zero_warn(str(error))

    def _note_environment(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:
        """Note where this process runs; what the run started from is known from its checkpoint, if any."""
        start = self.record.get("start")
        if start is None and trainer.ckpt_path is None:
            weights = weights_digest(pl_module.policy.state_dict())
            start = {"model": pl_module.spec.path, "weights": weights, "weights_of": WEIGHTS_OF}
            if pl_module.spec.lora is not None:
                start["frozen"] = frozen_digest(pl_module)
        self.record = {"rows": pl_module.data.digests, "start": start, **environment()}

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record of the environment; the lines that the checkpoint counts on are on the disk."""
        self.curve.on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["environment"] = self.record

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take from the record what the run started from; earlier versions kept none."""
        saved = checkpoint.get("environment")
        start = saved.get("start") if isinstance(saved, dict) else None
        self.record = {"start": start} if isinstance(start, dict) else {}

    def state_dict(self) -> dict[str, Any]:
        """Return the counts that a resumed run adds to."""
        return self.costs.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.costs.load_state_dict(state_dict)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the learning curve."""
        self.curve.teardown(trainer, pl_module, stage)

    def _write(
        self, trainer: lightning.Trainer, pl_module: PolicyModule, record: dict[str, Any]
    ) -> dict[str, Any]:
        summary = {
            **record,
            "steps": pl_module.data.step,
            "planned_steps": pl_module.horizon,
            "seconds": round(self.costs.all_seconds, 2),
            "tokens_per_second": round(self.costs.tokens / max(self.costs.step_seconds, 1e-9), 1),
            "update_norm": self.costs.update_norm,
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "seed": pl_module.sampling.seed,
            "skipped_rows": sum(len(rows.skipped) for rows in pl_module.data.rows.values()),
        }
        self._save(Path(trainer.default_root_dir), summary)
        return summary

    @staticmethod
    @rank_zero_only
    def _save(folder: Path, summary: dict[str, Any]) -> None:
        write_json(folder / "summary.json", summary)


def _told(summary: dict[str, Any], trained: bool) -> Iterator[str]:
    """Yield what a user must know of the end of a run: that it is no end, or that nothing was left to do."""
    end = summary["ended_by"]
    if not trained and end.startswith("max_"):
        yield f"nothing was left to train: trainer.{end} is reached; raise it to go on"
    elif end == MAX_TIME:
        yield (
            f"stopped by trainer.max_time after {summary['steps']} of {summary['planned_steps']} steps; "
            f"raise it and go on with --ckpt_path last"
        )


def _results(figures: dict[str, float]) -> dict[str, float]:
    """Return the held-out figures that are logged before and after training, by the names of their curves."""
    return {f"test/{name}": figures[name] for name in ("accuracy", "sampled_accuracy") if name in figures}


def _compare(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Return the figures of the summary; none when there are no held-out problems."""
    if not after:
        return {}
    figures = {
        "accuracy_before": before.get("accuracy"),
        "accuracy_after": after["accuracy"],
        "sampled_before": before.get("sampled_accuracy"),
        "sampled_after": after["sampled_accuracy"],
        "format_rate": after["sampled_format"],
        "length": after["sampled_length"],
    }
    return {
        "problems": int(after["problems"]),
        **{name: None if value is None else round(value, 4) for name, value in figures.items()},
        "by_level_before": by_level(before, "level_", 4),
        "by_level_after": by_level(after, "level_", 4),
        "sampled_by_level_before": by_level(before, "sampled_level_", 4),
        "sampled_by_level_after": by_level(after, "sampled_level_", 4),
    }


def table(before: dict[str, float], after: dict[str, float], summary: dict[str, Any]) -> Table:
    """Draw the figures before and after training side by side.

    Args:
        before: figures of ``PolicyModule.evaluate``.
        after: the same, after training.
        summary: the run's seconds, tokens per second, peak memory and seed.
    """
    caption = (
        f"{int(after.get('problems', 0))} held-out problems, seed {summary['seed']}: "
        f"{summary['seconds']:.0f} s, "
        f"{summary['tokens_per_second']:,.0f} rollout tokens/s, peak memory {summary['peak_rss_mb']:,.0f} MB"
    )
    drawn = Table(title=f"held-out, before and after {summary['steps']} steps", caption=caption)
    drawn.add_column("")
    for name in ("greedy before", "after", "gain", "sampled before", "after", "gain"):
        drawn.add_column(name, justify="right")
    levels = sorted(by_level(after, "level_", 4), key=int)
    rows = {"accuracy": "accuracy"} | {f"  level {level}": f"level_{level}" for level in levels}
    for label, name in (rows | {"format": "format", "cut off": "truncated"}).items():
        cells = []
        for key in (name, f"sampled_{name}"):
            old, new = before.get(key), after.get(key)
            gain = f"{100 * (new - old):+.1f}" if old is not None and new is not None else ""
            cells += [f"{value:.3f}" if value is not None else "" for value in (old, new)] + [gain]
        drawn.add_row(
            label, *cells, end_section=name in ("accuracy", f"level_{levels[-1]}" if levels else "")
        )
    cells = []
    for key in ("length", "sampled_length"):
        cells += [f"{figures[key]:.1f}" if key in figures else "" for figures in (before, after)] + [""]
    drawn.add_row("length", *cells)
    return drawn
