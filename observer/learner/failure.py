"""Saves the rollout and the weights of an update whose gradient was not finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from observer.policy import Policy
from observer.types import Experience


@contextmanager
def failure_saved(run_dir: str | Path, step: int, experience: Experience, policy: Policy) -> Iterator[None]:
    """Save rollout and weights if an update inside is not finite; the error names the folder.

    Args:
        run_dir: the run.
        step: rollouts finished.
        experience: the rollout of the update.
        policy: with the gradients that are not finite.

    Raises:
        FloatingPointError: in place of the one that was raised inside.
    """
    try:
        yield
    except FloatingPointError as error:
        where = save_failure(run_dir, step, experience, policy)
        raise FloatingPointError(f"step {step}: {error}; the batch and the weights are in {where}") from error


def save_failure(run_dir: str | Path, step: int, experience: Experience, policy: Policy) -> Path:
    """Write the rollout and the weights it was made with to ``failure/step-<n>/`` of the run directory.

    ``rollout.pt`` holds builtins and tensors only (``torch.load(..., weights_only=True)`` reads it): row ids,
    prompt and completion token ids, the log-probs they were drawn with, rewards, weights, advantages, and
    which gradients are not finite. Every rank writes its own rollout, rank 0 the weights: adapters merged in
    float32, and beside them as they are.

    Returns:
        The directory.
    """
    folder = Path(run_dir) / "failure" / f"step-{step:06d}-rank-{_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    groups = experience.groups
    torch.save(
        {
            "step": step,
            "rows": [group.problem.id for group in groups],
            "prompt_ids": [list(group.prompt.ids) for group in groups],
            "completion_ids": [[list(c.ids) for c in group.completions] for group in groups],
            "logprobs": [[list(c.logprobs) for c in group.completions] for group in groups],
            "texts": [[c.text for c in group.completions] for group in groups],
            "rewards_P_G": experience.rewards_P_G,
            "weights_P_G": experience.weights_P_G,
            "advantages_P_G": experience.advantages_P_G,
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
