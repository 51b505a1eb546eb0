"""How long a rollout takes, on devices where it was measured."""

from __future__ import annotations

from dataclasses import dataclass

from observer.planning.work import Work


@dataclass(frozen=True)
class Measured:
    """Rates of a model on a device, per GPU."""

    device: str
    """As torch names it."""
    model: str
    """As ``model.policy.path`` names it."""
    drawn: float
    """Tokens per second that are drawn."""
    trained: float
    """Tokens per second through the passes of an update."""


MEASURED: tuple[Measured, ...] = ()
"""None yet: nothing was run on a GPU."""


def seconds(work: Work, device: str | None, measured: tuple[Measured, ...] = MEASURED) -> float | None:
    """Return the seconds of a rollout with its update, all completions at their longest; None: not measured.

    Args:
        work: what a fit does.
        device: as torch names it; None for none.
        measured: on which devices.
    """
    for rates in measured:
        if (rates.device, rates.model) == (device, work.sizes.name):
            drawn = work.prompts * work.group * work.completion
            return drawn / rates.drawn + (drawn + work.prompts * work.prompt) / rates.trained
    return None
