"""What a policy can do on held-out problems: one way of measuring, for validation, test and reports."""

from __future__ import annotations

from collections.abc import Iterable

import lightning
import torch

from observer.data.module import LadderDataModule
from observer.metrics import HeldOutMetrics
from observer.policy import Policy
from observer.rewards import Rubric
from observer.rollout import Engine, PromptRenderer
from observer.run.stopwatch import Stopwatch
from observer.types import Problem, Sampling

GREEDY_STEP, SAMPLED_STEP = -1, -2
"""Steps that seed held-out evaluation: it draws the same numbers each time, and none that training draws."""


class HeldOutEvaluation(lightning.LightningModule):
    """The half of a trained module that draws from the policy and measures it. The other half builds it."""

    policy: Policy
    renderer: PromptRenderer
    engine: Engine
    rubric: Rubric
    stage: Stopwatch
    seed: int
    _sampling: dict[str, float]

    def __init__(self) -> None:
        super().__init__()
        self.held_out_greedy, self.held_out_sampled = HeldOutMetrics(), HeldOutMetrics()

    @property
    def ladder(self) -> LadderDataModule:
        """The data module, which owns the number of finished rollouts."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def sampling(self, group_size: int, step: int, **changes: float) -> Sampling:
        """Return how to draw at a step.

        Args:
            group_size: completions a prompt.
            step: rollouts finished, or a negative number for evaluation.
            changes: fields that differ from the run's own.
        """
        return Sampling(**{**self._sampling, **changes}, group_size=group_size, seed=self.seed, step=step)  # type: ignore[arg-type]

    def sync(self) -> None:
        """Give the engine the policy's weights if it holds older ones."""
        if self.engine.version != self.ladder.step:
            self.engine.sync(self.policy.model.named_parameters(), self.ladder.step)

    def evaluate_batch(
        self, problems: list[Problem], greedy: HeldOutMetrics, sampled: HeldOutMetrics
    ) -> None:
        """Answer held-out problems once greedily and once at temperature 1, and count both."""
        self.sync()
        prompts = self.renderer.render(problems)
        for metrics, temperature, step in ((greedy, 0.0, GREEDY_STEP), (sampled, 1.0, SAMPLED_STEP)):
            groups = self.engine.generate(prompts, self.sampling(1, step, temperature=temperature))
            metrics.update(groups, self.rubric.score_all(groups, step))

    def evaluate(self, batches: Iterable[list[Problem]]) -> dict[str, float]:
        """Return held-out figures of greedy answers, and with ``sampled_`` in front those of sampling.

        Args:
            batches: this rank's held-out problems.
        """
        greedy, sampled = HeldOutMetrics().to(self.device), HeldOutMetrics().to(self.device)
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            for problems in batches:
                self.evaluate_batch(problems, greedy, sampled)
        return _figures(greedy, sampled)

    def validation_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Count a batch of the held-out problems that choose the best checkpoint."""
        self.evaluate_batch(problems, self.held_out_greedy, self.held_out_sampled)

    def test_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Count a batch of the held-out problems of the last word."""
        self.evaluate_batch(problems, self.held_out_greedy, self.held_out_sampled)

    def on_validation_epoch_end(self) -> None:
        """Log ``val/...``."""
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test/...``."""
        self._log_held_out("test")

    def on_validation_end(self) -> None:
        """Charge validation to no step."""
        self.stage.restart()

    def _log_held_out(self, prefix: str) -> None:
        figures = _figures(self.held_out_greedy, self.held_out_sampled)
        shown = {f"{prefix}/accuracy"}
        for name, value in figures.items():
            # Equal on all ranks: the metrics have added up their sums.
            self.log(f"{prefix}/{name}", value, prog_bar=f"{prefix}/{name}" in shown)
        self.held_out_greedy.reset()
        self.held_out_sampled.reset()


def _figures(greedy: HeldOutMetrics, sampled: HeldOutMetrics) -> dict[str, float]:
    figures = {name: float(value) for name, value in greedy.compute().items()}
    return figures | {f"sampled_{name}": float(value) for name, value in sampled.compute().items()}
