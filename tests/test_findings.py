"""docs/findings.md and the READMEs say what the reports and records of experiments/ say."""

import json

import pytest

from experiments.parts.table import TABLES, shifts, table
from experiments.speed.reached import compared, page
from scoring import ROOT

FINDINGS = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8").splitlines()


def stands_in(lines, page):
    """Whether lines follow each other in a page."""
    return any(page[place : place + len(lines)] == lines for place in range(len(page)))


@pytest.mark.parametrize("name", TABLES)
def test_every_figure_of_the_page_is_that_of_a_report(name):
    assert stands_in(table(*TABLES[name]), FINDINGS)


def test_the_main_table_stands_in_the_readme():
    assert stands_in(table(*TABLES["main"]), (ROOT / "README.md").read_text(encoding="utf-8").splitlines())


def test_the_shifts_of_the_page_are_those_that_were_measured():
    assert stands_in(shifts(), FINDINGS)


def test_the_times_to_an_accuracy_are_those_that_were_measured():
    speed = ROOT / "experiments" / "speed"
    record = json.loads((speed / "time_to_accuracy.json").read_text(encoding="utf-8"))
    pairs = compared(list(record["runs"].values()), record["options"]["target"])
    assert stands_in(page(pairs), (speed / "README.md").read_text(encoding="utf-8").splitlines())
