"""Designs over axes and what contrasts estimate in them."""

from itertools import product

import numpy as np
import pytest

from observer.ablation.contrasts import read_contrasts
from observer.ablation.factorial import aliases, cell_name, read_design
from observer.ablation.grid_file import Place
from observer.types import RefusedError

PLACE = Place("grid.yaml", "design")


def axes(names, levels=2):
    return {name: ("off", "on", "more")[:levels] for name in names}


def contrast(written, design, levels):
    cells = {cell_name(cell, levels): cell for cell in design.cells}
    return read_contrasts({"c": written}, cells, cells, levels, bool(design.generators), PLACE)["c"], cells


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_names_of_cells_are_one_to_one(count):
    for levels in (2, 3):
        given = axes("abcde"[:count], levels)
        cells = read_design("full", given, PLACE).cells
        assert len({cell_name(cell, given) for cell in cells}) == len(cells) == levels**count


def test_one_axis_less_and_one_more():
    levels = axes("abcd")
    less, more = (read_design(word, levels, PLACE).cells for word in ("leave_one_out", "add_one_in"))
    assert [cell_name(cell, levels) for cell in less] == ["all", "no_a", "no_b", "no_c", "no_d"]
    assert [cell_name(cell, levels) for cell in more] == ["none", "a", "b", "c", "d"]
    both = read_design(["leave_one_out", "add_one_in"], levels, PLACE).cells
    assert both == (*less, *more)
    weights, _ = contrast(
        {"effect": "a"}, read_design(["leave_one_out", "add_one_in"], levels, PLACE), levels
    )
    assert weights == {"all": 0.5, "no_a": -0.5, "a": 0.5, "none": -0.5}


@pytest.mark.parametrize(
    "design", ["full", {"fraction": {"d": "a*b*c"}}, {"fraction": {"c": "-a*b", "d": "a*b"}}]
)
def test_a_main_effect_is_the_coefficient_of_an_additive_model(design):
    levels = axes("abcd")
    if isinstance(design, dict) and len(design["fraction"]) == 2:
        with pytest.raises(RefusedError, match="c and d could not be told apart"):
            read_design(design, levels, PLACE)
        return
    design = read_design(design, levels, PLACE)
    effects = {"a": 0.3, "b": -1.0, "c": 0.0, "d": 2.0}
    for axis, effect in effects.items():
        weights, cells = contrast({"effect": axis}, design, levels)
        values = {
            n: 5 + sum(effects[x] for x, level in cell.items() if level == "on") for n, cell in cells.items()
        }
        assert sum(weight * values[name] for name, weight in weights.items()) == pytest.approx(effect)
        assert sum(weights.values()) == pytest.approx(0)


def test_of_more_than_two_levels_one_is_named():
    levels = axes("ab", 3)
    design = read_design("full", levels, PLACE)
    weights, _ = contrast({"effect": "a", "level": "more"}, design, levels)
    assert weights == {n: pytest.approx(w / 3) for n, w in {
        "a-more": 1, "none": -1, "a-more+b-on": 1, "b-on": -1, "all": 1, "no_a": -1, "b-more": -1
    }.items() if n in weights}  # fmt: skip
    with pytest.raises(RefusedError, match="axis a has levels on, more beside off; write one as level"):
        contrast({"effect": "a"}, design, levels)


def signs(design, levels):
    """Column of +1 and -1 of each product of axes, over the cells of a design."""
    columns = {axis: np.array([1 if c[axis] == "on" else -1 for c in design.cells]) for axis in levels}
    for size in product([0, 1], repeat=len(levels)):
        chosen = [axis for axis, there in zip(levels, size, strict=True) if there]
        if chosen:
            yield frozenset(chosen), np.prod([columns[axis] for axis in chosen], axis=0)


@pytest.mark.parametrize(
    ("names", "fraction", "resolution"),
    [
        ("abc", {"c": "a*b"}, "III"),
        ("abcd", {"d": "a*b*c"}, "IV"),
        ("abcde", {"d": "a*b", "e": "a*c"}, "III"),
    ],
)
def test_the_aliases_that_are_told_are_those_of_the_columns(names, fraction, resolution):
    levels = axes(names)
    design = read_design({"fraction": fraction}, levels, PLACE)
    assert len(design.cells) == 2 ** (len(names) - len(fraction))
    first, *lines = aliases(levels, design)
    assert first == f"resolution {resolution}: {len(design.cells)} of {2 ** len(names)} cells"
    columns = dict(signs(design, levels))
    told = {frozenset(frozenset(term.split("*")) for term in line.split(" = ")) for line in lines}
    for effect in names:
        alike = {
            other
            for other, column in columns.items()
            if abs(column @ columns[frozenset(effect)]) == len(column)
        }
        assert {one for one in alike if len(one) <= 3} in told
    for line in told:
        one, *others = line
        assert all(abs(columns[one] @ columns[other]) == len(columns[one]) for other in others)


def test_a_fraction_needs_two_levels():
    with pytest.raises(RefusedError, match="axis a has 3 levels; a fraction is of axes with two"):
        read_design({"fraction": {"c": "a*b"}}, axes("abc", 3), PLACE)
