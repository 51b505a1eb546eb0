"""docs/findings.md and the README say what the reports of experiments/parts say."""

import pytest

from experiments.parts.table import HERE, TABLES, shifts, table
from scoring import ROOT

FINDINGS = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8").splitlines()
DONE = [name for name, (grid, _) in TABLES.items() if (HERE / "report" / grid).is_dir()]


def stands_in(lines, page):
    """Whether lines follow each other in a page."""
    return any(page[place : place + len(lines)] == lines for place in range(len(page)))


@pytest.mark.parametrize("name", DONE)
def test_every_figure_of_the_page_is_that_of_a_report(name):
    assert stands_in(table(*TABLES[name]), FINDINGS)


def test_the_main_table_stands_in_the_readme():
    assert "main" in DONE
    assert stands_in(table(*TABLES["main"]), (ROOT / "README.md").read_text(encoding="utf-8").splitlines())


def test_the_shifts_of_the_page_are_those_that_were_measured():
    assert stands_in(shifts(), FINDINGS)
