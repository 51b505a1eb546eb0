"""A simulated run of a schedule: rows drawn per step and level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from observer.curriculum import DrawRequest, LadderIndex, Schedule

Assumption = Callable[[torch.Tensor, float], torch.Tensor]
"""Difficulty of rows and progress in [0, 1] -> their pass rates."""


def base_model(difficulty_N: torch.Tensor, progress: float) -> torch.Tensor:
    """Return 1 - difficulty: the policy never improves."""
    return 1 - difficulty_N


def improving(difficulty_N: torch.Tensor, progress: float) -> torch.Tensor:
    """Return 1 - difficulty (1 - .8 progress): at the end a fifth of the mistakes are left."""
    return 1 - difficulty_N * (1 - 0.8 * progress)


ASSUMPTIONS: dict[str, Assumption] = {"base": base_model, "improving": improving}


@dataclass(frozen=True, eq=False)
class Drawn:
    """The draws of a run."""

    levels: list[int]
    """The levels of the ladder, ascending."""
    counts_T_L: torch.Tensor
    """Rows drawn per step and level, (T, L), int64."""
    difficulty_T: torch.Tensor
    """Mean difficulty of each step's rows."""
    complexity_T: torch.Tensor
    """Mean complexity of each step's rows."""
    stages: list[str | None]
    """The stage of each step."""
    rows: int
    """Rows of the ladder."""
    distinct: int
    """Rows that were drawn at least once."""
    most: int
    """Draws of the row that was drawn most often."""


def simulate(
    index: LadderIndex, schedule: Schedule, steps: int, count: int, seed: int, assumption: Assumption
) -> Drawn:
    """Draw all steps of a run under assumed pass rates.

    Args:
        index: the rows; its pass rates and memory change.
        schedule: the schedule to simulate.
        steps: rollouts of the run.
        count: prompts per step.
        seed: of the draws.
        assumption: pass rates of rows.
    """
    levels, place_R = torch.unique(index.level_R, return_inverse=True)
    counts, difficulty, complexity, stages = [], [], [], []
    for step in range(steps):
        request = DrawRequest(index, step, count, horizon=steps, seed=seed)
        stages.append(schedule.stage_name(request))
        rows = schedule.batch(request)
        rows_N = torch.tensor(rows)
        difficulty_N = index.difficulty_R[rows_N]
        counts.append(torch.bincount(place_R[rows_N], minlength=len(levels)))
        difficulty.append(difficulty_N.double().mean())
        complexity.append(index.complexity_R[rows_N].double().mean())
        rates = assumption(difficulty_N.double(), step / max(1, steps - 1)).clamp(0, 1).tolist()
        index.observe(rows, rates, step)
        index.memory = schedule.memory_after(request, rows, rates)
    _, visits_N, _ = index.seen
    return Drawn(
        levels=levels.tolist(),
        counts_T_L=torch.stack(counts),
        difficulty_T=torch.stack(difficulty),
        complexity_T=torch.stack(complexity),
        stages=stages,
        rows=len(index),
        distinct=len(visits_N),
        most=int(visits_N.max()),
    )
