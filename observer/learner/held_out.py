"""Held-out evaluation: greedy and sampled answers, alike in validation, test, reports and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import lightning
import torch

from observer.answering import Answerer, completion_records
from observer.data.fingerprints import pictures_digest
from observer.data.module import LadderDataModule
from observer.learner.averaging import averaging_of, stochastic_of
from observer.learner.failure import failure_saved, shared
from observer.learner.logged import LoggedModule
from observer.learner.ranks import OverRanks
from observer.metrics import HeldOutMetrics, Outcomes
from observer.policy import Policy
from observer.refusal import refuse_outside
from observer.run.other_ranks import waiting_for_ranks
from observer.run.stopwatch import Stopwatch
from observer.types import Experience, Group, Problem, RefusedError, Sampling, ScoredGroups

GREEDY_STEP, SAMPLED_STEP = -1, -2
"""Steps in the seeds of held-out evaluation: the same draws each time, and none of training's."""
DECODING_THREADS = 4
"""Pictures that are decoded at once for their digests."""


def held_out_sampling(sampling: Sampling, samples: int = 1, temperature: float = 0.0) -> Sampling:
    """Return how held-out problems are answered: with the limits and the seed of a run.

    Args:
        sampling: the run's; its group size, temperature and step are not used.
        samples: completions per problem.
        temperature: 0 is greedy.

    Raises:
        RefusedError: a number is out of range, or several greedy completions are asked for.
    """
    refuse_outside("samples", samples, 1)
    refuse_outside("temperature", temperature, 0)
    if samples > 1 and not temperature:
        raise RefusedError(
            f"samples is {samples} at temperature 0, where all are the same; set a temperature, such as 1"
        )
    step = SAMPLED_STEP if temperature else GREEDY_STEP
    return replace(sampling, group_size=samples, temperature=temperature, step=step)


class HeldOut:
    """One evaluation: answers problems greedily and at temperature 1, and counts both."""

    def __init__(
        self,
        answerer: Answerer,
        sampling: Sampling,
        device: torch.device,
        samples: int = 1,
        outcomes: Outcomes | None = None,
    ) -> None:
        """Start with all counts at 0.

        Args:
            answerer: answers, with weights that are up to date.
            sampling: the run's; its group size, temperature and step are not used.
            device: where the ranks exchange their counts.
            samples: completions per problem at temperature 1.
            outcomes: gathers each answer; None where only counts are asked for.
        """
        self._answerer, self._outcomes = answerer, outcomes
        self._samplings = {
            "greedy": held_out_sampling(sampling),
            "sampled": held_out_sampling(sampling, samples, temperature=1.0),
        }
        self._metrics = {
            mode: HeldOutMetrics(samples=each.group_size).to(device) for mode, each in self._samplings.items()
        }

    def count(self, problems: Sequence[Problem]) -> None:
        """Answer problems and count the correct, formatted, cut-off answers; see ``HeldOutMetrics``."""
        with ThreadPoolExecutor(DECODING_THREADS, "digests") as threads:  # while the answers are drawn
            pictures = threads.map(pictures_digest, problems if self._outcomes is not None else ())
            answers = self._answerer.answer(problems, *self._samplings.values())
        for metrics, scored in zip(self._metrics.values(), answers, strict=True):
            metrics.update(scored.groups, scored.scores)
        if self._outcomes is not None:
            digests = list(pictures)
            for mode, scored in zip(self._samplings, answers, strict=True):
                self._outcomes.add(mode, scored, digests)

    def figures(self) -> dict[str, float]:
        """Return the figures over all ranks: of greedy answers, and as ``sampled_..`` of sampled ones."""
        ranks = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        with waiting_for_ranks("held-out counts", ranks):
            greedy, sampled = (metrics.compute() for metrics in self._metrics.values())
        figures = {name: float(value) for name, value in greedy.items()}
        return figures | {f"sampled_{name}": float(value) for name, value in sampled.items()}


class HeldOutModule(LoggedModule):
    """A policy that answers held-out problems: in Lightning's hooks, and without a trainer in ``answer``.

    A base and no collaborator: validation, test and prediction are hooks of the module.
    """

    policy: Policy
    """Set by ``configure_model``."""
    answerer: Answerer
    """Draws completions from the policy and scores them."""
    sampling: Sampling
    """How completions are drawn in training."""
    held_out_samples = 1
    """Completions per held-out problem at temperature 1."""
    validated: Mapping[str, float] = {}
    """Figures of the last validation."""
    prediction: Sampling | None = None
    """How ``predict`` answers, of ``held_out_sampling``; None for once, greedily."""
    mixed_precision = False
    """Whether ``answer`` without a trainer computes in bfloat16, as the run did that the weights are of."""

    @property
    def prediction_sampling(self) -> Sampling:
        """How ``predict`` answers: ``prediction``, or once, greedily."""
        return self.prediction or held_out_sampling(self.sampling)

    @property
    def attached(self) -> lightning.Trainer | None:
        """The trainer; None for a learner that has none, or has left it."""
        return self._trainer

    @property
    def data(self) -> LadderDataModule:
        """The data module, which owns the number of finished rollouts."""
        data: LadderDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    @property
    def clock(self) -> Stopwatch:
        """The stopwatch of the step's stages: ``with self.clock("update"): ..``."""
        return self.answerer.clock

    def failure_saved(self, rollout: Experience | Sequence[Group] = ()) -> AbstractContextManager[None]:
        """Return a context that saves what a failure inside is to be understood by; see ``failure_saved``."""
        return failure_saved(self.trainer.default_root_dir, self.data.step, self.policy, rollout)

    def together(self) -> AbstractContextManager[None]:
        """Return a context in which an engine that fails on one rank fails on all; see ``shared``."""
        return shared(OverRanks(self.trainer))

    def sync(self) -> None:
        """Give the engine the policy's weights if it holds older ones."""
        with self.together():
            self.answerer.sync(self.policy, self.data.step)

    def forget_other_weights(self) -> None:
        """Let the next sync hand the weights over, where an average may have taken their place."""
        if averaging_of(self.trainer) or stochastic_of(self.trainer):
            self.answerer.engine.version = -1

    def answer(self, problems: Sequence[Problem], sampling: Sampling | None = None) -> ScoredGroups:
        """Answer problems and score the answers, with the weights as they are; needs no trainer.

        Args:
            problems: in any order, such as the rows of a row format.
            sampling: how completions are drawn; None for once, greedily, with the limits of training.

        Returns:
            A group of completions per problem, in their order, with their scores.

        Raises:
            RefusedError: a picture cannot be decoded, a prompt is too long, or the sampling is impossible.
        """
        self.configure_model()
        self.answerer.engine.version = -1  # weights may have been changed by anybody
        self.answerer.sync(self.policy, 0)
        with torch.no_grad(), self._precision():
            [scored] = self.answerer.answer(problems, sampling or held_out_sampling(self.sampling))
        self.answerer.rest()
        self.answerer.engine.version = -1
        return scored

    def _precision(self) -> AbstractContextManager[Any]:
        if self.attached is not None:
            return self.attached.precision_plugin.forward_context()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision)

    def evaluate(
        self, batches: Iterable[list[Problem]], outcomes: Outcomes | None = None
    ) -> dict[str, float]:
        """Measure held-out problems.

        Args:
            batches: this rank's problems.
            outcomes: gathers each of this rank's answers; None for figures alone.

        Returns:
            Figures of greedy answers over all ranks, with ``sampled_`` of sampled ones.
        """
        held_out = self._evaluation(outcomes)
        with torch.no_grad(), self.trainer.precision_plugin.forward_context(), self.failure_saved():
            self.sync()
            for problems in batches:
                held_out.count(problems)
            self.answerer.rest()
        return held_out.figures()

    def _evaluation(self, outcomes: Outcomes | None = None) -> HeldOut:
        return HeldOut(self.answerer, self.sampling, self.device, self.held_out_samples, outcomes)

    def on_validation_epoch_start(self) -> None:
        """Sync the engine and start an evaluation."""
        self.forget_other_weights()
        with self.failure_saved():
            self.sync()
        self._held_out = self._evaluation()

    def validation_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Answer and count a batch of ``data.val``, which selects the best checkpoint."""
        with self.failure_saved():
            self._held_out.count(problems)

    def on_validation_epoch_end(self) -> None:
        """Log ``val/...``."""
        self.answerer.rest()
        self.validated = self._held_out.figures()
        self.log_held_out("val", self.validated, max(self.data.step - 1, 0))

    def on_validation_end(self) -> None:
        """Restart the clock: validation belongs to no step."""
        self.forget_other_weights()
        self.clock.restart()

    def on_test_epoch_start(self) -> None:
        """Sync the engine and start an evaluation."""
        self.on_validation_epoch_start()

    def test_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Answer and count a batch of ``data.test``."""
        self.validation_step(problems, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log ``test/...``."""
        self.answerer.rest()
        self.log_held_out("test", self._held_out.figures(), 0)

    def on_predict_epoch_start(self) -> None:
        """Sync the engine."""
        with self.failure_saved():
            self.sync()

    def on_predict_epoch_end(self) -> None:
        """Let the engine rest."""
        self.answerer.rest()

    def predict_step(self, problems: list[Problem], batch_idx: int) -> list[dict[str, Any]]:
        """Answer a batch of the rows to predict, as ``prediction`` says.

        Returns:
            A record per completion, in the order of the problems; the first of each problem also says what
            was asked. See ``completion_records``.
        """
        with self.failure_saved():
            [scored] = self.answerer.answer(problems, self.prediction_sampling)
        return list(completion_records(scored, self.answerer.renderer.chat))
