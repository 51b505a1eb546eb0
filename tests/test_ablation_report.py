"""The report of a grid says what its runs hold: against an independent computation, to the byte, in words."""

import csv
import io
import json
import re

import numpy as np
import pyarrow.compute as pc
import pytest
from rich.console import Console
from scipy import special, stats

from observer.ablation.report.terminal import show
from observer.ablation.report.writing import write_report
from observer.metrics.outcomes import read_outcomes
from reported import timeless
from simulated_grid import Simulated

EFFECTS = {"grpo": 0.0, "bonus": 0.03, "null": 0.0}
CONTRASTS = {"bonus": "bonus - grpo", "nothing": "null - grpo"}


def simulated(folder, **changed):
    return Simulated(folder, **{"effects": EFFECTS, "contrasts": CONTRASTS, "samples": 4, **changed})


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Three variants of five seeds and 400 problems: one better by 3 points, one equal to the baseline."""
    made = simulated(tmp_path_factory.mktemp("grid"))
    made.write()
    made.document = write_report(made.grid, made.output)
    return made


def rows(grid, name):
    text = (grid.output / "report" / name).read_text(encoding="utf-8")
    return [*csv.DictReader(io.StringIO(text))]


def page(grid):
    return (grid.output / "report" / "report.md").read_text(encoding="utf-8")


def right(grid, variant, mode="greedy"):
    """Right answers read from the files of a variant: the mean over samples, (S, P)."""
    found = []
    for seed in range(grid.seeds):
        table = read_outcomes(grid.at(variant, seed) / "heldout.parquet")
        table = table.filter(pc.equal(table["mode"], mode))
        found.append((np.array(table["verdict"].to_pylist()) == "correct").reshape(grid.problems, -1).mean(1))
    return np.stack(found)


def analysis_of_variance(values_S_P):
    """Mean, standard error and degrees of freedom of a two-way layout, from its mean squares."""
    S, P = values_S_P.shape
    mean, mean_S, mean_P = values_S_P.mean(), values_S_P.mean(1), values_S_P.mean(0)
    of_seeds = P * ((mean_S - mean) ** 2).sum() / (S - 1)
    of_problems = S * ((mean_P - mean) ** 2).sum() / (P - 1)
    rest = ((values_S_P - mean_S[:, None] - mean_P + mean) ** 2).sum() / ((S - 1) * (P - 1))
    assert of_seeds > rest  # no component is zero
    if of_problems <= rest:
        return mean, np.sqrt(of_seeds / (S * P)), S - 1
    total = of_seeds + of_problems - rest
    squares = of_seeds**2 / (S - 1) + of_problems**2 / (P - 1) + rest**2 / ((S - 1) * (P - 1))
    return mean, np.sqrt(total / (S * P)), total**2 / squares


def ends(mean, error, df, level, least):
    """The interval of a mean of values from ``least`` to 1: Student's on the scale of the logit."""
    share, slope = (mean - least) / (1 - least), (1 - least) / ((mean - least) * (1 - mean))
    half = stats.t.ppf((1 + level) / 2, df) * error * slope
    return least + (1 - least) * special.expit(special.logit(share) + np.array([-half, half]))


def test_a_contrast_is_that_of_an_analysis_of_variance(grid):
    found = {row["contrast"]: row for row in rows(grid, "contrasts.csv") if row["figure"] == "accuracy"}
    p_values = {}
    for name, variant in (("bonus", "bonus"), ("nothing", "null")):
        mean, error, df = analysis_of_variance(right(grid, variant) - right(grid, "grpo"))
        low, high = ends(mean, error, df, 0.95, -1)
        distance = abs(special.logit((mean + 1) / 2)) / (error * 2 / (1 - mean**2))
        p_values[name] = 2 * stats.t.sf(distance, df)
        row = {key: float(found[name][key]) for key in ("difference", "low", "high", "df", "p")}
        assert row == pytest.approx(
            {"difference": mean, "low": low, "high": high, "df": df, "p": p_values[name]},
            rel=1e-4,
        )
        equal = np.abs(ends(mean, error, df, 0.90, -1)).max() < 0.01
        assert found[name]["equivalent"] == str(equal).lower()
    least = min(p_values.values())
    assert float(found["bonus"]["holm_p"]) == pytest.approx(2 * least, rel=1e-4)
    assert float(found["nothing"]["holm_p"]) == pytest.approx(max(p_values.values()), rel=1e-4)
    assert float(found["bonus"]["low"]) < 0.03 < float(found["bonus"]["high"])


def test_a_variant_is_the_mean_of_its_answers(grid):
    found = {row["variant"]: row for row in rows(grid, "variants.csv")}
    for variant in EFFECTS:
        mean, error, df = analysis_of_variance(right(grid, variant))
        low, high = ends(mean, error, df, 0.95, 0)
        own = [float(found[variant][key]) for key in ("accuracy", "accuracy_low", "accuracy_high")]
        assert own == pytest.approx([mean, low, high], rel=1e-4)
        sampled_S_P = right(grid, variant, "sampled")
        assert float(found[variant]["sampled_accuracy"]) == pytest.approx(sampled_S_P.mean(), rel=1e-5)
        assert float(found[variant]["pass@4"]) == pytest.approx((sampled_S_P > 0).mean(), rel=1e-5)
        assert float(found[variant]["update_norm"]) == pytest.approx(0.022)
        tables = [read_outcomes(grid.at(variant, seed) / "heldout.parquet") for seed in range(grid.seeds)]
        greedy = [table.filter(pc.equal(table["mode"], "greedy")) for table in tables]
        tokens = np.array([pc.sum(table["length"]).as_py() for table in greedy])
        each = tokens / right(grid, variant).sum(1)
        assert float(found[variant]["tokens_per_correct"]) == pytest.approx(each.mean(), rel=1e-5)


def test_every_effect_is_said_in_words(grid):
    text = page(grid)
    assert re.search(r"- \*\*bonus\*\*: 2\.\d points higher; within ±1 point: not shown\.", text)
    assert (
        "- **nothing**: not distinguishable; within ±1 point: not shown; an interval of ±1 point takes"
        in text
    )
    assert "3 variants x 5 seeds = 15 planned; 15 complete." in text
    assert "every run drew 3,840 prompts" in text
    assert "nan" not in text
    assert "inf" not in re.sub("info", "", text)


def test_levels_and_exploratory_differences_are_not_tested(grid):
    found = [row for row in rows(grid, "contrasts.csv") if row["p"]]
    assert {(row["role"], row["figure"]) for row in found} == {("primary", "accuracy")}
    by_level = {row["level"]: row for row in rows(grid, "by_level.csv") if row["name"] == "grpo"}
    assert sorted(by_level) == ["1", "2", "3", "4"]
    for level, row in by_level.items():
        assert row["figure"] == "pass@4"  # the last of the level
        assert (row["problems"], level in page(grid)) == ("100", True)


def test_equal_tokens_are_read_from_the_curves(grid):
    curves = {}
    for variant in EFFECTS:
        for seed in range(5):
            lines = map(json.loads, (grid.at(variant, seed) / "curve.jsonl").read_text().splitlines())
            curves[variant, seed] = np.array(
                [(line["tokens"], line["accuracy"]) for line in lines if line["split"] == "val"]
            ).T
    least = min(curves[variant, seed][0][-1] for variant in ("bonus", "grpo") for seed in range(5))
    different_S = [
        np.interp(least, *curves["bonus", seed]) - np.interp(least, *curves["grpo", seed])
        for seed in range(5)
    ]
    (row,) = [
        row
        for row in rows(grid, "contrasts.csv")
        if (row["contrast"], row["figure"]) == ("bonus", "accuracy")
    ]
    interval = stats.t.interval(0.95, 4, np.mean(different_S), stats.sem(different_S))
    assert (row["curve_split"], float(row["tokens_at"])) == ("val", least)
    got = [float(row[f"tokens_{end}"]) for end in ("difference", "low", "high")]
    assert got == pytest.approx([np.mean(different_S), *interval], rel=1e-4)
    assert len(rows(grid, "curves.csv")) == 15 * 9


def test_two_reports_of_a_grid_differ_in_their_seconds_alone(grid, tmp_path):
    again = simulated(tmp_path, clock=2.5)
    again.write()
    write_report(again.grid, again.output)
    one, other = (made.output / "report" for made in (grid, again))
    assert timeless(one) == timeless(other)
    differing = {path.name for path in one.iterdir() if path.read_bytes() != (other / path.name).read_bytes()}
    assert differing == {"curves_seconds.png", "report.md", "variants.csv", "contrasts.csv", "curves.csv"}


def test_the_page_shows_every_figure_and_the_terminal_the_same_numbers(grid):
    text = page(grid)
    pictures = re.findall(r"!\[.+\]\((\w+\.png)\)", text)
    assert sorted(pictures) == sorted(path.name for path in (grid.output / "report").glob("*.png"))
    with (console := Console(width=140, color_system=None)).capture() as capture:
        show(grid.document, console)
    shown = capture.get()
    cells = re.findall(r"[+-]?\d+\.\d \([+-]?\d+\.\d, [+-]?\d+\.\d\)", text.split("\n## By level")[0])
    assert len(cells) == 8 * 3 + 4
    assert [cell for cell in cells if cell not in shown] == []
