"""Holds rows out of the training rows for validation, so that no picture is on both sides.

Rows that share a picture, whatever its file is called and however it is compressed, go together, and so do
rows without pictures that ask the same. A hash of a group's least digest and the seed decides which side it
is on: that does not depend on the order of the rows, and stays as it is when rows are added, unless they join
groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import numpy as np

from observer.data.rows import RowFormat, Rows
from observer.data.subset import Subset
from observer.refusal import refuse_outside
from observer.types import RefusedError

Side = Literal["train", "val"]


@dataclass(frozen=True)
class ValidationSplit:
    """Training rows of which a share is held out.

    Args:
        rows: the format of all rows.
        fraction: share of the groups of rows that are held out, above 0 and below 1.
        seed: of the choice.
    """

    rows: RowFormat
    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_outside("data.val_fraction", self.fraction, above=0, most=0.9, hint=", or null")
        refuse_outside("data.val_seed", self.seed, 0, 2**32 - 1)

    @cached_property
    def sides(self) -> dict[Side, Subset]:
        """Both sides; the first access reads the rows.

        Raises:
            RefusedError: the rows are refused, or one side would be empty.
        """
        return self.parted(self.rows.read())

    def parted(self, rows: Rows) -> dict[Side, Subset]:
        """Return both sides of rows that were read.

        Raises:
            RefusedError: one side would be empty.
        """
        held_R = held_out(rows, self.fraction, self.seed)
        count = int(held_R.sum())
        if not 0 < count < len(rows):
            raise RefusedError(
                f"data.val_fraction is {self.fraction:g}, which holds out {count} of {len(rows)} rows (rows "
                "that share a picture go together); set another fraction or data.val_seed, or name rows in "
                "data.val"
            )
        name = f"{self.fraction!r} {self.seed}"
        return {
            "train": Subset.of(rows, np.flatnonzero(~held_R), f"train {name}"),
            "val": Subset.of(rows, np.flatnonzero(held_R), f"val {name}"),
        }


@dataclass(frozen=True)
class OneSide:
    """One side of a split: what ``RowFormat`` offers the data module.

    Args:
        split: the split.
        side: which side.
    """

    split: ValidationSplit
    side: Side

    @property
    def on_bad_row(self) -> str:
        """What the rows' format does with bad rows."""
        return getattr(self.split.rows, "on_bad_row", "refuse")

    def read(self) -> Rows:
        """Return the rows of this side.

        Raises:
            RefusedError: the rows are refused.
        """
        return self.split.sides[self.side]


def held_out(rows: Rows, fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out, (R,), bool.

    Args:
        rows: all rows.
        fraction: probability of a group to be held out.
        seed: of the choice.
    """
    from scipy.sparse import coo_array  # half a second, for this option only
    from scipy.sparse.csgraph import connected_components

    row_D, digest_D = rows.digests()
    digests_U, number_D = np.unique(digest_D, return_inverse=True)
    count = len(rows)
    edges = coo_array(
        (np.ones(len(row_D), np.int8), (row_D, count + number_D)), shape=[count + len(digests_U)] * 2
    )
    group_N = connected_components(edges, directed=False)[1]
    least_G = np.full(int(group_N.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(least_G, group_N[count:], digests_U)
    held_R: np.ndarray = uniforms(least_G, seed)[group_N[:count]] < fraction
    return held_R


def uniforms(keys_G: np.ndarray, seed: int) -> np.ndarray:
    """Return a number in [0, 1) for each key, the same in every process.

    Args:
        keys_G: uint64.
        seed: other numbers for other seeds.

    Reference: the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
    """
    salt = int.from_bytes(blake2b(f"validation {seed}".encode(), digest_size=8).digest(), "little")
    mixed_G = keys_G.astype(np.uint64) ^ np.uint64(salt)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_G = (mixed_G ^ (mixed_G >> np.uint64(shift))) * np.uint64(factor)
    uniforms_G: np.ndarray = (mixed_G ^ (mixed_G >> np.uint64(31))) / 2.0**64
    return uniforms_G
