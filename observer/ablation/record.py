"""The record of a grid in its directory: ``grid.yaml``, the file as it was resolved for each run."""

from __future__ import annotations

from pathlib import Path

import yaml

from observer.ablation.grid import RECORD, Grid
from observer.run.files import whole_file


def write_record(grid: Grid, output: Path) -> None:
    """Write what a grid file says, with each run's options resolved.

    Args:
        grid: that is run.
        output: its directory.
    """
    record = {
        "name": grid.name,
        "base": list(grid.base),
        "seeds": list(grid.seeds),
        "baseline": grid.baseline,
        "margin": grid.margin,
        "contrasts": grid.contrasts,
        "cells": {name: variant.cells for name, variant in grid.variants.items() if variant.cells},
        "variants": {name: {seed: grid.options(name, seed) for seed in grid.seeds} for name in grid.variants},
    }
    with whole_file(output / RECORD) as file:
        yaml.safe_dump(record, file, sort_keys=False, allow_unicode=True)
