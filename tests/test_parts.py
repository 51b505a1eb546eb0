"""The grids of experiments/parts: cells that run.sh shares between them are the same runs."""

import re

import pytest

from observer.ablation.grid import read_grid
from scoring import ROOT

HERE = ROOT / "experiments" / "parts"


@pytest.fixture
def grids(monkeypatch):
    monkeypatch.chdir(ROOT)  # their bases are told from there
    return {path.stem: read_grid(path) for path in HERE.glob("*.yaml") if "seeds:" in path.read_text()}


def test_runs_that_are_linked_from_one_grid_to_another_have_the_same_options(grids):
    script = (HERE / "run.sh").read_text(encoding="utf-8")
    links = [
        (line.split()[1], pair)
        for line in re.findall(r"^ +(same .*)$", script, re.M)
        for pair in line.split()[2:]
    ]
    assert len(links) == 5
    for grid, pair in links:
        cell, variant = pair.split("=")
        for seed in grids["grid"].seeds:
            ours, theirs = (
                grids[each].options(name, seed) for each, name in (("grid", cell), (grid, variant))
            )
            assert ours == theirs
        assert grids[grid].base == grids["grid"].base


def test_the_factorial_holds_grpo_every_part_alone_and_every_part_left_out(grids):
    cells = {name: variant.cells for name, variant in grids["grid"].variants.items()}
    assert len(cells) == 16
    assert {
        "grpo",
        "observe_r1",
        "no_order",
        "no_format",
        "no_bonus",
        "no_weight",
        "order",
        "bonus",
        "weight",
    } <= {*cells}
    assert [*grids["grid"].contrasts] == ["order", "format", "bonus", "weight"]
    for axis, weights in grids["grid"].contrasts.items():
        assert {weight > 0 for name, weight in weights.items() if cells[name][axis] == "on"} == {True}
        assert sorted({*weights.values()}) == [-0.125, 0.125]


def test_each_seed_has_its_own_start(grids):
    for grid in grids.values():
        starts = {
            grid.options(name, seed)["model.policy.path"] for name in grid.variants for seed in grid.seeds
        }
        assert len(starts) == len(grid.seeds) == 5
