"""Options whose value follows from others: ``config.yaml`` says what they came to."""

from __future__ import annotations

from dataclasses import asdict
from pkgutil import resolve_name

from jsonargparse import Namespace

from observer.objective import Correction
from observer.rollout import TransformersEngine


def settle_correction(model: Namespace) -> None:
    """Replace ``correction: auto`` by what it means with the engine of the run.

    Args:
        model: options of a learner; one without such an option, or without an engine, stays as it is.
    """
    if model.get("correction") != "auto" or "engine" not in model:
        return
    engine = TransformersEngine if model.engine is None else resolve_name(model.engine.class_path)
    chosen = Correction.chosen("auto", engine.weights)
    model.correction = chosen and Namespace(asdict(chosen))  # type: ignore[no-untyped-call]
