"""The columns of a ladder as tensors: one number per row, checked, in the smallest type that holds them."""

from __future__ import annotations

from typing import Any

import numpy
import torch

from observer.types import RefusedError


def tensor_of(name: str, values: Any, dtype: torch.dtype | None) -> torch.Tensor:
    """Convert to a tensor of one dimension that shares no memory with the array, which may be read-only.

    Args:
        name: what the numbers are, for messages.
        values: tensor, numpy array or sequence.
        dtype: of the tensor; None for that of the numbers.

    Raises:
        ValueError: there is more than one dimension.
        RefusedError: a number is not finite; names its row.
    """
    tensor = (
        values.detach().cpu() if isinstance(values, torch.Tensor) else torch.from_numpy(numpy.array(values))
    )
    if tensor.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not the shape {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        row = int(torch.nonzero(~torch.isfinite(tensor))[0])
        raise RefusedError(f"{name} of row {row} is {float(tensor[row])}; give it a finite number")
    return tensor.to(dtype) if dtype else tensor


def whole_numbers(name: str, values: Any) -> torch.Tensor:
    """Convert to the smallest type of integers that holds them all; see ``tensor_of``."""
    tensor = tensor_of(name, values, None)
    lowest, highest = (int(tensor.min()), int(tensor.max())) if len(tensor) else (0, 0)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= lowest and highest <= torch.iinfo(dtype).max:
            return tensor.to(dtype)
    return tensor.to(torch.int64)


def rows_by(values_R: torch.Tensor) -> dict[int, torch.Tensor]:
    """Return value -> the rows that have it, ascending, int32; values in ascending order.

    >>> {value: rows.tolist() for value, rows in rows_by(torch.tensor([2, 0, 2])).items()}
    {0: [1], 2: [0, 2]}
    """
    values, sizes = torch.unique(values_R, return_counts=True)
    rows = torch.split(torch.argsort(values_R, stable=True).int(), sizes.tolist())
    return dict(zip(values.tolist(), rows, strict=True))
