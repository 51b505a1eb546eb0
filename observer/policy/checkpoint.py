"""Compares saved weights with those of a model, by name and shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch


def first_misfit(
    saved: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], expected: Iterable[str]
) -> str | None:
    """Return the first weight that does not fit, with both shapes; None if all fit.

    Args:
        saved: the weights of the file, by name.
        own: the weights of the model, by name.
        expected: names that the file must hold: all of the model, or with adapters those that are trained.

    >>> first_misfit({"a": torch.zeros(2)}, {"a": torch.zeros(3), "b": torch.zeros(1)}, ["a", "b"])
    'a is (2,) there, (3,) here'
    """
    for name in [*saved, *expected]:
        here, there = (tuple(held[name].shape) if name in held else "none" for held in (own, saved))
        if here != there:
            return f"{name} is {there} there, {here} here"
    return None
