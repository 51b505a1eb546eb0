"""The grounding audit in training: does the model still look? Every so many steps, on a fixed small set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import lightning
import numpy as np
import torch

from observer.evaluation.audit.altered import partners
from observer.evaluation.audit.probing import CONDITIONS, OF_OBSERVE, OF_PICTURE, Probe, probed
from observer.learner import held_out_sampling
from observer.learner.ranks import OverRanks
from observer.refusal import refuse_outside
from observer.run.curves import log_now, tell_callbacks
from observer.seeding import stable_seed
from observer.types import Problem, RefusedError


class GroundingAudit(lightning.Callback):
    """Asks held-out rows with other pictures and other observations, and logs ``zoom_audit/..``.

    Each is the accuracy of greedy answers on the same rows of ``data.val``: ``right``, ``blank``,
    ``blurred`` and ``wrong_picture`` by the picture; ``observe_kept``, ``observe_removed``,
    ``observe_shuffled`` and ``observe_replaced`` by the observation that the model goes on from. A model
    that does not look is as good with the wrong picture as with the right one.

    It draws nothing at random and changes no number of the training; its seconds belong to no step. On
    several processes each audits its share of the rows. Each audit is logged, also of a step that the
    trainer's ``log_every_n_steps`` leaves out.
    """

    charts: ClassVar[Mapping[str, Sequence[str]]] = {
        "audit: accuracy by the picture": tuple(f"zoom_audit/{name}" for name in ("right", *OF_PICTURE)),
        "audit: accuracy by the observation": tuple(f"zoom_audit/{name}" for name in OF_OBSERVE),
    }
    """In TensorBoard, after those of the run: title of a chart -> its curves."""

    def __init__(self, every_n_steps: int = 50, rows: int = 64) -> None:
        """Choose how often, and on how many rows.

        Args:
            every_n_steps: rollouts from one audit to the next.
            rows: of ``data.val`` with pictures, the same each time; fewer where there are fewer. Each is
                asked eight times.

        Raises:
            RefusedError: a number is out of range.
        """
        refuse_outside("GroundingAudit.every_n_steps", every_n_steps, 1)
        refuse_outside("GroundingAudit.rows", rows, 2)
        self.every_n_steps, self.rows = every_n_steps, rows
        self._audited: tuple[list[Problem], list[int | None]] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a run without rows to audit.

        Raises:
            RefusedError: there is no ``data.val``, or it has fewer rows than two per process.
        """
        if stage != "fit":
            return
        val = getattr(trainer.datamodule, "rows", {}).get("val")  # type: ignore[attr-defined]
        if val is None:
            raise RefusedError(
                "GroundingAudit asks rows of data.val, which is null; name some, or leave the callback out"
            )
        if len(val) < 2 * trainer.world_size:
            raise RefusedError(
                f"GroundingAudit: data.val has {len(val)} rows; it needs two for each of the "
                f"{trainer.world_size} processes"
            )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Audit the policy as the step has left it, if it is due."""
        if pl_module.data.step % self.every_n_steps:
            return
        with torch.no_grad(), trainer.precision_plugin.forward_context(), pl_module.failure_saved():
            pl_module.sync()
            counts = self._counts(pl_module, trainer)
            pl_module.answerer.rest()
        pl_module.clock.restart()
        totals = OverRanks(trainer).reduce(counts, "sum")
        figures = {
            f"zoom_audit/{name}": totals[name] / totals[f"{name} rows"]
            for name in ("right", *CONDITIONS)
            if totals[f"{name} rows"]
        }
        tell_callbacks(trainer, figures)
        log_now(trainer, figures, pl_module.data.step - 1)

    def _counts(self, module: Any, trainer: lightning.Trainer) -> dict[str, float]:
        """Return how many answers of this process are right, and of how many rows, by condition."""
        answerer, sampling = module.answerer, held_out_sampling(module.sampling)
        problems, others = self._audited or self._chosen(module, trainer)
        [right] = answerer.answer(problems, sampling)
        texts = [group.completions[0].text for group in right.groups]
        probes = [
            Probe(
                problem,
                text,
                None if other is None else problems[other],
                "" if other is None else texts[other],
            )
            for problem, text, other in zip(problems, texts, others, strict=True)
        ]
        found = probed(probes, answerer, sampling)
        correct = {"right": [score.correct for (score,) in right.scores]}
        correct |= {name: [one[name].score.correct for one in found if name in one] for name in CONDITIONS}
        return {
            **{name: float(sum(values)) for name, values in correct.items()},
            **{f"{name} rows": float(len(values)) for name, values in correct.items()},
        }

    def _chosen(self, module: Any, trainer: lightning.Trainer) -> tuple[list[Problem], list[int | None]]:
        """Return the rows of this process and their partners: the same in each audit."""
        rows = module.data.rows["val"]
        rng = np.random.default_rng(stable_seed(module.sampling.seed, "audit"))
        drawn = (rows[row] for row in rng.permutation(len(rows)).tolist())
        most = self.rows - self.rows % trainer.world_size
        some = list(islice((problem for problem in drawn if problem.pictures), most))
        own = some[trainer.global_rank :: trainer.world_size]
        self._audited = own, partners(own, module.answerer.rubric.verifier, module.sampling.seed)
        return self._audited
