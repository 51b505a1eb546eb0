"""Every entry of a checkpoint, and what else could stand in its place."""

import copy

import torch

SAMPLED = 3
"""Entries of a long list or mapping that are changed."""


def paths(value, path=()):
    """Every place in a nest of mappings and lists; of many alike only some."""
    if path:
        yield path
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list | tuple)
        else []
    )
    if len(keys) > 40:
        keys = [*keys[:SAMPLED], keys[-1]]
    for key in keys:
        yield from paths(value[key], (*path, key))


def others(value):
    """Values of another type, shape, or beyond what is possible, by name."""
    found = {"text": "x", "nothing": None, "nested": [[[[1]]]], "a mapping": {"x": 1}}
    if isinstance(value, bool):
        return {"a number": 7, **found}
    if isinstance(value, int):
        return {
            "negative": -1 - value,
            "huge": 2**63 - 1,
            "beyond": 10**400,
            "nan": float("nan"),
            "as text": str(value),
            "as a tensor": torch.tensor([value, value]),
            **found,
        }
    if isinstance(value, float):
        return {
            "nan": float("nan"),
            "infinite": float("inf"),
            "negative": -1.0 - value,
            "as text": str(value),
            **found,
        }
    if isinstance(value, str | type(None)):
        return {"a number": 7, "a tensor": torch.zeros(2), "a list": ["x"], "a mapping": {"x": 1}}
    if isinstance(value, torch.Tensor):
        whole = not value.is_floating_point()
        return {
            "longer": torch.cat([value.reshape(-1)] * 2 + [value.new_zeros(1)]),
            "of text": "x",
            "complex": value.to(torch.complex64),
            "sparse": value.reshape(-1).float().to_sparse(),
            "negative": -1 - value.abs() if whole else torch.full_like(value, -torch.inf),
            "not finite": torch.full_like(value, 2**30) if whole else torch.full_like(value, torch.nan),
            "a list": value.tolist(),
        }
    if isinstance(value, dict):
        return {
            "empty": {},
            "a list": [1],
            "text": "x",
            "nothing": None,
            "more": {**value, "step": {"x": [1]}},
        }
    return {"empty": [], "twice": [*value, *value, 1], "a number": 7, "text": "x", "nothing": None}


def mutated(checkpoint, path, other):
    """The checkpoint with another value at a path; ``...`` takes the entry away."""
    held = copy.copy(checkpoint)
    inner = held
    for key in path[:-1]:
        inner[key] = list(inner[key]) if isinstance(inner[key], tuple) else copy.copy(inner[key])
        inner = inner[key]
    if other is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = other
    return held


def mutations(checkpoint):
    """(path, name of the change, changed checkpoint)."""
    for path in paths(checkpoint):
        value = checkpoint
        for key in path:
            value = value[key]
        for name, other in {"missing": ..., **others(value)}.items():
            yield path, name, mutated(checkpoint, path, other)
