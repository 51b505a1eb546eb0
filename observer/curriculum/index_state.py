"""What an index can be restored from, and what a schedule may remember: checks of the state of an index."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch

from observer.types import RefusedError


class UnknownMemory(Mapping[str, Any]):
    """The memory of a run that has not been made: whoever reads it is refused.

    Args:
        refusal: the message.
    """

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal

    def refuse(self, *_: object) -> NoReturn:
        """Refuse to say what is remembered."""
        raise RefusedError(self.refusal)

    def __getitem__(self, key: str) -> Any:
        self.refuse()

    def __iter__(self) -> Iterator[str]:
        self.refuse()

    def __len__(self) -> int:
        self.refuse()


def refuse_impossible(state: dict[str, Any]) -> None:
    """Refuse pass rates and memory that no run has: a row below 0 would count from the end."""
    rows_N, visits_N, sums_N = state["rows"], state["visits"], state["pass_rate_sums"]
    last_N, steps_N = state["last_pass_rates"], state["last_steps"]
    possible = {
        "rows": rows_N.dtype == torch.int64 and (rows_N >= 0).all() and (rows_N.diff() > 0).all(),
        "visits": visits_N.dtype == torch.int32 and (visits_N > 0).all(),
        "pass_rate_sums": ((sums_N >= 0) & (sums_N <= visits_N + 1e-3)).all(),
        "last_pass_rates": ((last_N >= 0) & (last_N <= 1)).all(),
        "last_steps": steps_N.dtype == torch.int32 and (steps_N >= 0).all(),
        "memory": isinstance(state["memory"], dict) and _finite(state["memory"]),
    }
    for name, holds in possible.items():
        if not holds or (name != "memory" and state[name].shape != (len(rows_N),)):
            raise ValueError(f"{name} is {repr(state[name])[:80]}")


def leaves(value: Any) -> int:
    """Return how many values a memory holds, so that one that is lost is noticed."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(leaves, value))
    return value.numel() if isinstance(value, torch.Tensor) else 1


def _finite(value: Any) -> bool:
    """Return whether all numbers of a memory are finite."""
    if isinstance(value, dict):
        return all(_finite(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or math.isfinite(value)


def refuse_objects(value: Any, where: str) -> None:
    """Refuse objects that ``torch.load(weights_only=True)`` could not read back."""
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_objects(key, f"a key of {where}")
            refuse_objects(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            refuse_objects(item, f"{where}[{place}]")
    elif not (value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.Tensor)):
        raise RefusedError(
            f"a schedule remembers a {type(value).__name__} as {where}; it may remember builtins and tensors "
            "only, or no checkpoint could hold it"
        )
