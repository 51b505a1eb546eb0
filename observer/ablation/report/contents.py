"""The report as a whole: its sections in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping

from observer.ablation.report.document import Document
from observer.ablation.report.effects import Effects
from observer.ablation.report.sections.contrasts import contrasts_section
from observer.ablation.report.sections.exploratory import exploratory_section, levels_section
from observer.ablation.report.sections.overview import overview
from observer.ablation.report.sections.spending import curves_section, seconds_section
from observer.ablation.report.sections.variants import variants_section


def contents(effects: Effects, split: str, figures: Mapping[str, str]) -> Document:
    """Return the report.

    Args:
        effects: of the runs.
        split: whose evaluations the learning curves are of.
        figures: name of a figure -> its file, of those that were drawn.
    """
    sections = [
        overview(effects.runs),
        variants_section(effects),
        contrasts_section(effects, figures),
        exploratory_section(effects),
        levels_section(effects, figures),
        curves_section(effects, split, figures),
        seconds_section(effects, split, figures),
    ]
    return Document(f"Ablation report: {effects.runs.grid.name}", sections)
