"""What the report of a grid says when seeds, runs, curves or spread are missing, and what it refuses."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from observer.ablation.grid import Grid
from observer.ablation.report.budgets import split_of
from observer.ablation.report.collect import collect
from observer.ablation.report.contents import contents
from observer.ablation.report.effects import Effects
from observer.ablation.report.markdown import markdown
from observer.ablation.report.terminal import show
from observer.metrics.outcomes import read_outcomes, write_outcomes
from observer.types import RefusedError
from simulated_grid import ENVIRONMENT, Simulated

CONTRAST = {"bonus": "bonus - grpo"}


@pytest.fixture
def simulated(tmp_path):
    """Factory of small grids of two variants, or those that are given."""

    def make(**changed):
        usual = {"effects": {"grpo": 0.0, "bonus": 0.03}, "contrasts": CONTRAST, "seeds": 3, "problems": 80}
        made = Simulated(tmp_path, **{**usual, **changed})
        made.write()
        return made

    return make


def document(grid):
    effects = Effects(collect(grid.grid, grid.output))
    return contents(effects, split_of(effects.runs), {})


def page(grid):
    text = markdown(document(grid))
    assert re.search(r"\b(nan|inf|None)\b", text) is None
    return text


def primary(grid):
    return Effects(collect(grid.grid, grid.output)).primary()[0]


def changed(grid, variant, seed, **columns):
    """Write the outcomes of a run anew with other columns."""
    path = grid.at(variant, seed) / "heldout.parquet"
    table = read_outcomes(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values(table), field.type))
    write_outcomes(path, table)


def test_one_seed_has_no_interval(simulated):
    text = page(simulated(seeds=1))
    assert "- **bonus**: one seed: no interval over seeds; nothing is tested." in text
    assert "one seed: no interval over seeds (grpo, bonus)." in text
    assert re.findall(r"\d\.\d \(", text.split("## Primary")[1]) == []


def test_two_seeds_have_a_wide_one(simulated):
    grid = simulated(seeds=2)
    low, high = primary(grid).interval
    assert high - low > 0.05
    assert "With 2 seeds and 1 contrast, and no effect at all, Holm's p was measured" in page(grid)


def test_a_narrow_interval_around_0_is_shown_to_be_small(simulated):
    grid = simulated(problems=400, seed_spread=0.0005, effects={"grpo": 0.0, "bonus": 0.0}, seeds=5)
    assert "- **bonus**: not distinguishable; within ±1 point: shown." in page(grid)


def test_problems_that_vary_more_than_seeds_call_for_problems(simulated):
    grid = simulated(problems=40)
    for seed in range(3):
        for variant, right in (("grpo", lambda place: place % 2), ("bonus", lambda place: place % 3 == 0)):
            verdicts = ["correct" if right(place) else "wrong" for place in range(40)]
            changed(grid, variant, seed, verdict=lambda table, found=verdicts: [*found, *found])
    assert (
        "not distinguishable; within ±1 point: not shown; more seeds alone do not give an interval"
        in page(grid)
    )


def test_answers_that_are_all_right_have_the_interval_of_what_was_not_seen(simulated):
    grid = simulated(problems=40, levels=2)
    for variant in grid.effects:
        for seed in range(3):
            changed(grid, variant, seed, verdict=lambda table: ["correct"] * len(table))
    text = page(grid)
    assert "| grpo | 100.0 (91.2, 100.0) |" in text
    assert "not distinguishable: equal on every problem and seed" in text
    assert "its spread over seeds is not known" in text


def test_a_seed_that_one_variant_lacks_is_left_out_and_named(simulated):
    grid = simulated(seeds=4, effects={"grpo": 0.0, "bonus": 0.03, "other": 0.0})
    grid.run("bonus", 2, status="failed", error="RuntimeError('a | b [red]x[/red] <i>')")
    grid.run("other", 1, status="running")
    (grid.at("other", 3) / "summary.json").unlink()
    grid.grid.run("other", 3, grid.output).log.parent.mkdir(exist_ok=True)
    log = "$ observer fit\nobserver: refused: model.kl is -1\n  more\n"
    grid.grid.run("other", 3, grid.output).log.write_text(log)
    text = page(grid)
    assert "= 12 planned; 9 complete, 1 running or killed, 2 failed." in text
    assert r"| bonus | 2 | failed | RuntimeError('a \| b \[red\]x\[/red\] \<i\>') |" in text
    assert "| other | 3 | failed | refused: model.kl is -1 |" in text
    assert "seed 2 left out: not complete in all of its variants." in text
    assert primary(grid).seeds == (0, 1, 3)
    assert Effects(collect(grid.grid, grid.output)).variants("accuracy")[0].seeds == (0, 1, 2, 3)
    with (console := Console(width=200, color_system=None)).capture() as capture:
        show(document(grid), console)
    assert "RuntimeError('a | b [red]x[/red] <i>')" in capture.get()


def test_a_contrast_without_a_common_seed_is_not_available_and_counts_in_holm(simulated):
    grid = simulated(
        effects={"grpo": 0.0, "bonus": 0.1, "other": 0.0}, contrasts={**CONTRAST, "late": "other - grpo"}
    )
    for seed in range(3):
        grid.run("other", seed, status="failed", error="killed")
    effects = Effects(collect(grid.grid, grid.output))
    assert effects.holm["bonus"] == pytest.approx(min(1, 2 * effects.primary()[0].p_value))
    assert "- **late**: not available: no seed is complete in all of its variants." in page(grid)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("id", lambda table: [f"x{one}" for one in table["id"].to_pylist()], r"\(xt0\) has another id"),
        ("picture", lambda table: ["p"] * len(table), r"\(t0\) has another picture"),
    ],
)
def test_runs_on_other_held_out_problems_are_refused(simulated, column, values, said):
    grid = simulated()
    changed(grid, "bonus", 1, **{column: values})
    with pytest.raises(RefusedError, match=rf"^bonus seed 1 was .*problem 1 {said} than in grpo seed 0"):
        page(grid)
    changed(grid, "grpo", 2, **{column: values})
    with pytest.raises(
        RefusedError, match=r"^bonus seed 1 \(and grpo seed 2\) was measured on other held-out"
    ):
        page(grid)


def test_runs_on_fewer_held_out_problems_are_refused(simulated):
    grid = simulated()
    grid.problems = 79
    grid.run("grpo", 2)
    with pytest.raises(RefusedError, match=r"^grpo seed 2 .*79 problems, 80 in grpo seed 0"):
        page(grid)


def test_files_that_no_run_writes_are_refused(simulated):
    grid = simulated()
    changed(grid, "grpo", 0, sample=lambda table: [1] * len(table))
    with pytest.raises(RefusedError, match=r"heldout\.parquet does not hold one greedy answer per problem"):
        page(grid)
    grid.run("grpo", 0)
    curve = grid.at("grpo", 0) / "curve.jsonl"
    for line, said in (('{"step": 1}', "line 2 is no evaluation"), ("", "line 2 is no evaluation")):
        curve.write_text(f"{curve.read_text().splitlines()[0]}\n{line}\n{{}}")
        with pytest.raises(RefusedError, match=rf"curve\.jsonl {said}"):
            page(grid)
    curve.write_text(curve.read_text().splitlines()[0].replace('"format": 0.98', '"format": NaN'))
    with pytest.raises(RefusedError, match=r"curve\.jsonl line 1 holds a figure that is not finite"):
        page(grid)
    curve.unlink()
    (grid.at("grpo", 0) / "summary.json").write_text("{")
    with pytest.raises(RefusedError, match=r"summary\.json is no JSON"):
        page(grid)


def test_a_grid_without_a_complete_run_is_refused(simulated):
    grid = simulated(seeds=1)
    for variant in grid.effects:
        grid.run(variant, 0, status="interrupted")
    with pytest.raises(RefusedError, match=r"no complete run of grid tiny \(grpo seed 0: interrupted; bonus"):
        page(grid)
    for variant in grid.effects:
        grid.run(variant, 0)
        (grid.at(variant, 0) / "heldout.parquet").unlink()
    with pytest.raises(RefusedError, match=r"grpo seed 0: not measured"):
        page(grid)


def test_runs_that_differ_in_more_than_their_variant_are_named(simulated):
    grid = simulated()
    record = {**ENVIRONMENT, "git": {"commit": "beef", "dirty": True}, "start": {"weights": "other"}}
    (grid.at("bonus", 1) / "environment.json").write_text(json.dumps(record))
    curve = grid.at("grpo", 0) / "curve.jsonl"
    curve.write_text("\n".join(curve.read_text().splitlines()[:4]) + "\n")
    grid.run("bonus", 2, steps=30)
    resumed = {**ENVIRONMENT, "versions": {"torch": "2.14.0", "python": "3.11.7"}}
    (grid.at("grpo", 2) / "environment.resumed-1.json").write_text(json.dumps(resumed))
    text = page(grid)
    assert "commit: c0ffee in 5 runs (grpo seed 0, bonus seed 0, grpo seed 1, grpo seed 2 and 1 more)" in text
    assert "beef in 1 run (bonus seed 1)." in text
    assert "1 run (bonus seed 1) ran code with changes that its commit does not hold." in text
    assert "torch: 2.13.0 in 5 runs" in text
    assert "2.13.0, then 2.14.0 in 1 run (grpo seed 2)" in text
    assert "variants of seed 1 did not start from the same weights." in text
    assert "1 run (bonus seed 2) ended before the planned steps." in text
    assert re.search(r"NOT EQUAL: [\d,]+ prompts in 1 run \(grpo seed 0\); 3,840 prompts in 5 runs", text)


def test_without_curves_equal_tokens_are_not_available(simulated):
    grid = simulated()
    (grid.at("bonus", 0) / "curve.jsonl").unlink()
    text = page(grid)
    assert "| bonus | not available | - | not available | - |" in text
    assert "the runs have no curve.jsonl" in text


def test_before_and_after_are_enough_for_equal_tokens(simulated):
    grid = simulated()
    for path in grid.output.glob("*/*/curve.jsonl"):
        lines = [line for line in path.read_text().splitlines() if '"test"' in line]
        path.write_text("\n".join(lines) + "\n")
    text = page(grid)
    assert "on data.test, 2 evaluations per run. Between" in text
    assert "not available |" not in text


def three_alike(table):
    return ["same" if one in ("t0", "t1", "t2") else one for one in table["id"].to_pylist()]


def test_problems_of_one_picture_are_one_cluster(simulated):
    grid = simulated(problems=40)
    before = primary(grid).estimate
    for variant in grid.effects:
        for seed in range(3):
            changed(grid, variant, seed, picture=three_alike)
    after = primary(grid).estimate
    assert (before.clusters, after.clusters, after.problems) == (40, 38, 40)
    assert "2 repeat a picture: problems of one picture are one cluster, whatever is asked" in page(grid)
    for variant in grid.effects:
        for seed in range(3):
            changed(grid, variant, seed, picture=lambda table: [""] * len(table))
    assert primary(grid).estimate.clusters == 40  # rows without a picture


def test_main_effects_that_are_not_primary_are_exploratory(simulated):
    axes = {
        "bonus": {"off": {"model.kl": 0}, "on": {"model.kl": 1}},
        "weight": {"off": {"model.epsilon": 0}, "on": {"model.epsilon": 1}},
    }
    names = {"none": {}, "b": {"bonus": "on"}, "w": {"weight": "on"}, "both": {"bonus": "on", "weight": "on"}}
    grid = simulated(
        effects={"none": 0.0, "w": 0.0, "b": 0.1, "both": 0.1},
        more={"axes": axes, "names": names, "variants": {}},
        contrasts={"bonus": {"effect": "bonus"}},
    )
    assert isinstance(grid.grid, Grid)
    effects = Effects(collect(grid.grid, grid.output))
    assert [one.name for one in effects.exploratory()] == [
        "w - none",
        "b - none",
        "both - none",
        "effect of weight",
    ]
    weight = effects.exploratory()[-1]
    values = {name: effects.runs.values(name, (0, 1, 2), "accuracy").mean() for name in names}
    by_hand = np.mean([values["w"] - values["none"], values["both"] - values["b"]])
    assert weight.estimate.mean == pytest.approx(by_hand)


def test_a_grid_of_one_variant_names_nothing_to_compare(simulated):
    text = page(simulated(effects={"grpo": 0.0}, contrasts={}))
    assert "The grid file names none: nothing is tested." in text
    assert "or there is one variant only." in text
