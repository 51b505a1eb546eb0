"""Writes the report of a grid: Markdown, CSV and figures in ``report/`` of the grid's directory."""

from __future__ import annotations

from pathlib import Path

from observer.ablation.grid import REPORT, Grid
from observer.ablation.report.budgets import split_of
from observer.ablation.report.collect import collect
from observer.ablation.report.contents import contents
from observer.ablation.report.csv_files import by_level_csv, contrasts_csv, curves_csv, variants_csv
from observer.ablation.report.document import Document
from observer.ablation.report.effects import Effects
from observer.ablation.report.figures.forest import forest_figure
from observer.ablation.report.figures.learning_curves import AXES, curve_figure
from observer.ablation.report.figures.levels import level_figure
from observer.ablation.report.markdown import markdown
from observer.run.files import whole_file

REPORT_FILE = f"{REPORT}/report.md"
"""In the directory of a grid."""


def write_report(grid: Grid, output: Path) -> Document:
    """Write the report of a grid, and return it.

    Args:
        grid: the grid file.
        output: the directory of its runs; the report's files are written to ``report/`` in it.

    Raises:
        RefusedError: no run is complete, or runs cannot be compared.
        WriteError: a file cannot be written.
    """
    effects = Effects(collect(grid, output))
    split = split_of(effects.runs)
    drawn = {"forest": forest_figure(effects), "levels": level_figure(effects)}
    drawn |= {f"curves_{budget}": curve_figure(effects.runs, split, budget) for budget in AXES}
    files = {name: f"{name}.png" for name, content in drawn.items() if content is not None}
    report = contents(effects, split, files)
    texts = {
        "variants.csv": variants_csv(effects),
        "contrasts.csv": contrasts_csv(effects, split),
        "by_level.csv": by_level_csv(effects),
        "curves.csv": curves_csv(effects),
        "report.md": markdown(report),
    }
    folder = output / REPORT
    for name, content in drawn.items():
        if content is None:
            (folder / f"{name}.png").unlink(missing_ok=True)  # of an earlier report
            continue
        with whole_file(folder / f"{name}.png", "wb") as file:
            file.write(content)
    for name, written in texts.items():
        with whole_file(folder / name) as file:
            file.write(written)
    return report
