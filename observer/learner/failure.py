"""Saves what a failure is understood by: an output that is not finite, or an engine that failed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from observer.learner.ranks import OverRanks
from observer.policy import Policy
from observer.policy.sharded.sharding import local
from observer.rollout import NotFiniteError
from observer.run.waiting import waiting
from observer.types import EngineError, Experience, Group

SCORES = ("rewards_P_G", "weights_P_G", "advantages_P_G")


@contextmanager
def failure_saved(
    run_dir: str | Path, step: int, policy: Policy, rollout: Experience | Sequence[Group] = ()
) -> Iterator[None]:
    """Save rollout and weights if something inside is not finite, and the prompts if an engine fails.

    The weights are no part of why an engine fails; a checkpoint has them.

    Args:
        run_dir: the run.
        step: rollouts finished.
        policy: after an update, with the gradients that are not finite.
        rollout: of the update; none where completions are drawn inside.

    Raises:
        FloatingPointError: in place of the one that was raised inside; names the folder.
        EngineError: likewise.
    """
    try:
        yield
    except EngineError as error:
        where = _save_prompts(run_dir, step, error)
        told = EngineError(
            f"step {step}: {error}; its trace and what it was asked are in {where}", error.prompts
        )
        told.shared_by = error.shared_by
        raise told from error.__cause__
    except FloatingPointError as error:
        drawn = error.groups if isinstance(error, NotFiniteError) else rollout
        with waiting("rollout and weights of a failure are written", str(run_dir)):
            where = save_failure(run_dir, step, drawn, policy)
        saved = "the batch and the weights are" if policy.sharding is None else "the batch is"
        raise FloatingPointError(f"step {step}: {error}; {saved} in {where}") from error


def save_failure(
    run_dir: str | Path, step: int, rollout: Experience | Sequence[Group], policy: Policy
) -> Path:
    """Write the rollout and the weights it was made with to ``failure/step-<n>/`` of the run directory.

    ``rollout.pt`` holds builtins and tensors only (``torch.load(..., weights_only=True)`` reads it): row ids,
    prompt and completion token ids, the log-probs they were drawn with, which weights and gradients are not
    finite, and of an experience rewards, weights and advantages. Every rank writes its own rollout, rank 0
    the weights: adapters merged in float32, and beside them as they are.

    Weights that are cut over ranks are not written: a failure of one rank cannot ask others for their parts.

    Returns:
        The directory.
    """
    folder = _folder(run_dir, step)
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
            "weights_not_finite": [
                name for name, p in policy.named_parameters() if not local(p).isfinite().all()
            ],
            "gradients_not_finite": [
                name
                for name, p in policy.named_parameters()
                if p.grad is not None and not local(p.grad).isfinite().all()
            ],
        },
        folder / "rollout.pt",
    )
    if _rank() == 0 and policy.sharding is None:  # the weights are the same on all
        policy.save_pretrained(folder / "policy")
    return folder


@contextmanager
def shared(over_ranks: OverRanks) -> Iterator[None]:
    """Make the failure of an engine, or output that is not finite, on one rank one of all: they end together.

    Args:
        over_ranks: of the run; all ranks call it, and none exchanges anything inside.

    Raises:
        EngineError: the one that was raised inside, or the news that another rank's engine has failed.
        FloatingPointError: the one that was raised inside, or the news of another rank's.
    """
    failed: EngineError | FloatingPointError | None = None
    try:
        yield
    except (EngineError, FloatingPointError) as error:
        failed = error
    ranks = over_ranks.join(torch.tensor([int(failed is not None)])).nonzero()[:, 0].tolist()
    if not ranks:
        return
    first, trainer = ranks[0], over_ranks.trainer
    not_finite, said = trainer.strategy.broadcast(
        (isinstance(failed, FloatingPointError), str(failed)), first
    )
    if failed is None and not_finite:
        failed = FloatingPointError(f"rank {first}: {said}")
    failed = failed or EngineError(f"the engine of rank {first} failed; its own line says how")
    failed.shared_by = trainer.global_rank  # type: ignore[union-attr]
    raise failed


def _save_prompts(run_dir: str | Path, step: int, error: EngineError) -> Path:
    """Write what the engine was asked and the trace of its error; return the directory."""
    folder = _folder(run_dir, step)
    prompts = {
        "step": step,
        "rows": [prompt.problem.id for prompt in error.prompts],
        "prompt_ids": [list(prompt.ids) for prompt in error.prompts],
    }
    torch.save(prompts, folder / "prompts.pt")
    (folder / "trace.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return folder


def _folder(run_dir: str | Path, step: int) -> Path:
    folder = Path(run_dir) / "failure" / f"step-{step:06d}-rank-{_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
