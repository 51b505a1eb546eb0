"""Saves the rollout and the weights where the model's output or a gradient was not finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from observer.policy import Policy
from observer.rollout import NotFiniteError
from observer.run.waiting import waiting
from observer.types import Experience, Group

SCORES = ("rewards_P_G", "weights_P_G", "advantages_P_G")


@contextmanager
def failure_saved(
    run_dir: str | Path, step: int, policy: Policy, rollout: Experience | Sequence[Group] = ()
) -> Iterator[None]:
    """Save rollout and weights if something inside is not finite; the error names the folder.

    Args:
        run_dir: the run.
        step: rollouts finished.
        policy: after an update, with the gradients that are not finite.
        rollout: of the update; none where completions are drawn inside.

    Raises:
        FloatingPointError: in place of the one that was raised inside.
    """
    try:
        yield
    except FloatingPointError as error:
        drawn = error.groups if isinstance(error, NotFiniteError) else rollout
        with waiting("rollout and weights of a failure are written", str(run_dir)):
            where = save_failure(run_dir, step, drawn, policy)
        raise FloatingPointError(f"step {step}: {error}; the batch and the weights are in {where}") from error


def save_failure(
    run_dir: str | Path, step: int, rollout: Experience | Sequence[Group], policy: Policy
) -> Path:
    """Write the rollout and the weights it was made with to ``failure/step-<n>/`` of the run directory.

    ``rollout.pt`` holds builtins and tensors only (``torch.load(..., weights_only=True)`` reads it): row ids,
    prompt and completion token ids, the log-probs they were drawn with, which weights and gradients are not
    finite, and of an experience rewards, weights and advantages. Every rank writes its own rollout, rank 0
    the weights: adapters merged in float32, and beside them as they are.

    Returns:
        The directory.
    """
    folder = Path(run_dir) / "failure" / f"step-{step:06d}-rank-{_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    groups = rollout.groups if isinstance(rollout, Experience) else rollout
    scores = {name: getattr(rollout, name) for name in SCORES if isinstance(rollout, Experience)}
    torch.save(
        {
            "step": step,
            "rows": [group.problem.id for group in groups],
            "prompt_ids": [list(group.prompt.ids) for group in groups],
            "completion_ids": [[list(c.ids) for c in group.completions] for group in groups],
            "logprobs": [[list(c.logprobs) for c in group.completions] for group in groups],
            "texts": [[c.text for c in group.completions] for group in groups],
            **scores,
            "weights_not_finite": [name for name, p in policy.named_parameters() if not p.isfinite().all()],
            "gradients_not_finite": [
                name
                for name, p in policy.named_parameters()
                if p.grad is not None and not p.grad.isfinite().all()
            ],
        },
        folder / "rollout.pt",
    )
    if _rank() == 0:  # the weights are the same on all
        policy.save_pretrained(folder / "policy")
    return folder


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
