"""Methods that learners once had: a subclass that overrides one is told what to override now."""

from __future__ import annotations

from observer.types import RefusedError

FORMER = {
    "rollout": "generate, score, weigh or resample",
    "sample": "generate or score",
    "chunks": "update",
    "accumulate": "accumulate_gradient",
    "chunk_loss": "micro_batch_loss",
    "evaluate_batch": "evaluate",
}
"""Former method -> what is called now."""


def refuse_former_methods(cls: type) -> None:
    """Refuse a subclass that defines a method that is not called any more: it would change nothing.

    Raises:
        RefusedError: names the class, the method and the present ones.
    """
    for name in FORMER.keys() & vars(cls).keys():
        raise RefusedError(
            f"{cls.__name__}.{name} is not called any more; override {FORMER[name]} (docs/architecture.md)"
        )
