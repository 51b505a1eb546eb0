"""The record of a grid in its directory: ``grid.yaml``, the resolved file, and what was named when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from observer.ablation.grid import RECORD, Grid
from observer.run.files import whole_file
from observer.types import RefusedError

BEGUN = "*/seed-*/config.yaml"
"""In the directory of a grid: a file of each run that has begun."""


@dataclass(frozen=True)
class Named:
    """What a grid file said that decides what is tested."""

    begun: int
    """Runs that had begun when it was recorded: if 0, no figure was known yet."""
    seeds: list[int]
    baseline: str
    margin: float
    contrasts: dict[str, dict[str, float]]

    @classmethod
    def of(cls, grid: Grid, output: Path) -> Named:
        """Return what a grid file says now."""
        begun = sum(1 for _ in output.glob(BEGUN))
        return cls(begun, list(grid.seeds), grid.baseline, grid.margin, grid.contrasts)


def write_record(grid: Grid, output: Path) -> None:
    """Write what a grid file says, with each run's options resolved.

    What decides the tests is kept as it was when the first run began; what is named later is added to it.

    Args:
        grid: that is run.
        output: its directory.

    Raises:
        RefusedError: there is a record that cannot be read.
    """
    named, now = read_named(output), Named.of(grid, output)
    if not now.begun:
        named = [now]
    elif not named or asdict(named[-1]) | {"begun": 0} != asdict(now) | {"begun": 0}:
        named = [*named, now]
    record = {
        "name": grid.name,
        "base": list(grid.base),
        "cells": {name: variant.cells for name, variant in grid.variants.items() if variant.cells},
        "variants": {name: {seed: grid.options(name, seed) for seed in grid.seeds} for name in grid.variants},
        "named": [asdict(one) for one in named],
    }
    with whole_file(output / RECORD) as file:
        yaml.dump(record, file, _Plain, sort_keys=False, allow_unicode=True)


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """Writes what occurs twice out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Make no anchors."""
        return True


def read_named(output: Path) -> list[Named]:
    """Return what was named when, the first first; nothing where no runner has recorded it.

    Args:
        output: directory of a grid.

    Raises:
        RefusedError: there is a record that cannot be read.
    """
    path = output / RECORD
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = [Named(**one) for one in content["named"]]
        if not all(isinstance(one.contrasts, Mapping) and isinstance(one.seeds, list) for one in found):
            raise TypeError("contrasts or seeds are none")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise RefusedError(
            f"{path} is no record of a grid ({why}); without it nobody knows when contrasts were named: "
            "put the record back, or move this file away and the report will say that there is none"
        ) from error
    return found


def later(grid: Grid, named: Sequence[Named]) -> tuple[str, ...]:
    """Return the contrasts that the file did not name so when the first run began.

    Args:
        grid: as it is now.
        named: what was recorded, the first first.
    """
    before = named[0].contrasts if named else grid.contrasts
    return tuple(name for name, weights in grid.contrasts.items() if before.get(name) != weights)


def dropped(grid: Grid, named: Sequence[Named]) -> tuple[str, ...]:
    """Return the contrasts that the file has named once, and names no more."""
    every = dict.fromkeys(name for one in named for name in one.contrasts)
    return tuple(name for name in every if name not in grid.contrasts)
