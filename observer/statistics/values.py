"""What the arrays of this room may hold; anything else is refused with the remedy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.refusal import shown
from observer.types import RefusedError


def checked(name: str, values: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Return values as float64, whole: rows of the same length, none missing, none infinite.

    Args:
        name: of the argument, with its shape.
        values: numbers or bools.
        dimensions: that it must have, each of at least one value.

    Raises:
        RefusedError: names the argument, what is wrong with it and where, and the remedy.

    >>> checked("values_S_P", [[1.0, float("nan")]], 2)
    Traceback (most recent call last):
    observer.types.RefusedError: values_S_P is nan at (0, 1); leave out what one seed has no value for
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RefusedError(
            f"{name} is {shown(values)}; it must be numbers in {dimensions} dimensions, all rows "
            "of the same length"
        ) from error
    if array.ndim != dimensions or array.size == 0:
        raise RefusedError(
            f"{name} has the shape {array.shape}; it must have {dimensions} dimensions, none of them empty"
        )
    if not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise RefusedError(f"{name} is {array[place]} at {place}; leave out what one seed has no value for")
    return array


def rounding(values: NDArray[np.float64]) -> float:
    """Return the error of a mean that the arithmetic alone can make: what is below it is zero."""
    return float(8 * np.finfo(np.float64).eps * np.abs(values).max())


def checked_bounds(bounds: tuple[float, float] | None, values: NDArray[np.float64]) -> None:
    """Refuse bounds that are no interval or that do not hold the values.

    Args:
        bounds: least and greatest value of a cell; None if there are none.
        values: of the cells.

    Raises:
        RefusedError: shows the bounds and the range of the values.
    """
    if bounds is None:
        return
    low, high = bounds
    if not (low < high and low <= values.min() and values.max() <= high):
        raise RefusedError(
            f"bounds is {bounds}; it must hold the values, {values.min():g} .. {values.max():g}"
        )
