"""The files that a model takes along beside its weights: its card, and its response format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from observer.answering.format_record import FORMAT_FILE, format_of, format_text
from observer.metrics.outcomes import BEFORE, FILE
from observer.policy.model_files import model_folder, read_json
from observer.refusal import shown
from observer.release.card import Facts, card
from observer.release.figures import Figures, read_figures
from observer.release.origin import README, origin
from observer.rewards import ResponseFormat
from observer.types import RefusedError

OTHER_STEP = "the figures of the run are those of other weights than these"
NO_ROWS = "the run measured no held-out rows (data.test)"


def released_files(
    policy: Mapping[str, Any],
    model_type: str,
    recipe: Mapping[str, Any],
    record: Mapping[str, Any],
    steps: int,
    response_format: ResponseFormat | None,
    figures: Figures | None,
    why_none: str = NO_ROWS,
) -> dict[str, str]:
    """Return name -> text of the files.

    Args:
        policy: options of the ``PolicySpec``.
        model_type: of the model's config.
        recipe: of the learner.
        record: of the run's environment.
        steps: rollouts finished.
        response_format: that it was trained for; None where it is not known.
        figures: of these weights; None where they were not measured.
        why_none: why they were not.
    """
    named, prompt = "", ""
    if response_format is not None:
        named, prompt = type(response_format).__name__, response_format.prompt
    facts = Facts(
        origin(str(policy["path"])),
        model_type,
        policy,
        recipe,
        record,
        steps,
        named,
        prompt,
        figures,
        why_none,
    )
    files = {README: card(facts)}
    return files if response_format is None else {**files, FORMAT_FILE: format_text(response_format)}


def run_figures(run_dir: Path) -> Figures | None:
    """Return the figures of a run from the outcomes in its directory; None where it has none of its end."""
    after = run_dir / FILE
    return read_figures(run_dir / BEFORE, after) if after.is_file() else None


def files_of_checkpoint(checkpoint: Path, run_dir: Path) -> dict[str, str]:
    """Return name -> text of the files that the model of a checkpoint takes along.

    Args:
        checkpoint: a ``.ckpt`` of a fit.
        run_dir: its run. The figures there count where they are of the step of the checkpoint.

    Returns:
        None of them for a checkpoint that names no model: whoever loads it says so.
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    if "policy" not in state:
        return {}
    steps = int((state.get("LadderDataModule") or {}).get("step", 0))
    figures, why = None, OTHER_STEP
    if checkpoint.resolve().parent.parent == run_dir.resolve() and _measured(run_dir, steps):
        figures, why = run_figures(run_dir), NO_ROWS
    return released_files(
        state["policy"],
        _model_type(state["policy"]["path"]),
        state.get("recipe") or {},
        state.get("environment") or {},
        steps,
        _format_of(state, checkpoint),
        figures,
        why,
    )


def _model_type(path: str) -> str:
    folder = model_folder(path)
    return "" if folder is None else str(read_json(folder / "config.json").get("model_type", ""))


def _measured(run_dir: Path, steps: int) -> bool:
    """Return whether the figures in a run's directory are of the end of so many steps."""
    try:
        summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
        return summary["status"] in ("complete", "stopped") and summary["steps"] == steps
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _format_of(state: Mapping[str, Any], checkpoint: Path) -> ResponseFormat | None:
    """Return the response format of a checkpoint; None where it has none, or one that is not known."""
    options = (state.get("learner") or {}).get("options") or {}
    held = options.get("response_format")
    if not isinstance(held, Mapping):
        return None
    try:
        return format_of(
            held.get("class_path"), held.get("init_args") or {}, f"{shown(str(checkpoint))}: ", ""
        )
    except RefusedError:
        return None
