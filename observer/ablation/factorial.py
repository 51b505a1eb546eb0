"""Designs over axes: which combinations of levels are run, what they are called, and what a fraction mixes.

Reference:
    Box, Hunter and Hunter, Statistics for Experimenters, chapters 5 and 6 (factorials at two levels and their
    fractions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from math import prod
from typing import Any

from observer.ablation.grid_file import Place, mapping, name_of, unknown

Levels = Mapping[str, Sequence[str]]
"""Axis -> its levels. The first level is "off", the last one "on"."""
Cell = dict[str, str]
"""Axis -> its level."""
WORDS = ("full", "leave_one_out", "add_one_in")
MOST_CELLS = 10_000
MOST_GENERATORS = 12
"""What they mix grows as 2 to their number."""
ALL, NONE = "all", "none"
"""Names of the cells with every axis on, and with every axis off."""
_LONGEST_ALIAS = 3
"""Interactions of more factors than these are not told: they are taken for nothing."""


@dataclass(frozen=True)
class Design:
    """Cells of a design."""

    cells: tuple[Cell, ...]
    """In order, each once."""
    generators: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    """Of a fraction: axis -> the sign and the axes whose product decides its level; empty otherwise."""


def read_design(value: Any, levels: Levels, place: Place) -> Design:
    """Return the cells that a design chooses.

    Args:
        value: ``full``, ``leave_one_out``, ``add_one_in``, a list of them, or ``{fraction: {axis: a*b}}``.
        levels: of the axes.
        place: of the value.

    Raises:
        RefusedError: it is none of these, or a generator makes no sense.
    """
    if isinstance(value, Mapping):
        given = dict(value)
        if set(given) != {"fraction"}:
            raise place.refused(
                value, "write {fraction: {axis: axis*axis}}, full, leave_one_out or add_one_in"
            )
        generators = _generators(given["fraction"], levels, place.at("fraction"))
        _refuse_many({axis: names for axis, names in levels.items() if axis not in generators}, value, place)
        return Design(tuple(_fraction(levels, generators)), generators)
    words = value if isinstance(value, list) else [value]
    if not words:
        raise place.refused(value, "write full, leave_one_out or add_one_in")
    cells: list[Cell] = []
    for word in words:
        if not isinstance(word, str) or word not in WORDS:
            raise place.refused(word, f"write {', '.join(WORDS)}, a list of them, or {{fraction: ..}}")
        if word == "full":
            _refuse_many(levels, word, place)
        cells += [cell for cell in _BY_WORD[word](levels) if cell not in cells]
    return Design(tuple(cells))


def _refuse_many(levels: Levels, value: Any, place: Place) -> None:
    """Refuse combinations of levels that nobody can run, before they are made."""
    if (count := prod(map(len, levels.values()))) > MOST_CELLS:
        raise place.refused(
            value,
            f"these axes have {count:,} cells, a grid at most {MOST_CELLS:,}; write leave_one_out, a "
            "fraction, or fewer axes",
        )


def full(levels: Levels) -> Iterator[Cell]:
    """Yield every combination of levels, all off first."""
    for chosen in product(*levels.values()):
        yield dict(zip(levels, chosen, strict=True))


def leave_one_out(levels: Levels) -> Iterator[Cell]:
    """Yield the cell with every axis on (at its last level), and those with one axis off."""
    on = {axis: names[-1] for axis, names in levels.items()}
    yield on
    for axis, names in levels.items():
        yield {**on, axis: names[0]}


def add_one_in(levels: Levels) -> Iterator[Cell]:
    """Yield the cell with every axis off, and those with one axis at another level."""
    off = {axis: names[0] for axis, names in levels.items()}
    yield off
    for axis, names in levels.items():
        for name in names[1:]:
            yield {**off, axis: name}


_BY_WORD = {"full": full, "leave_one_out": leave_one_out, "add_one_in": add_one_in}


def _generators(value: Any, levels: Levels, place: Place) -> dict[str, tuple[int, frozenset[str]]]:
    """Return axis -> (sign, axes whose product decides its level)."""
    given = mapping(value, place, "{weight: order*format*bonus}")
    if not given:
        raise place.refused(value, "write a generator, such as {weight: order*format*bonus}, or design: full")
    if len(given) > MOST_GENERATORS:
        raise place.refused(value, f"write at most {MOST_GENERATORS} generators; use fewer axes")
    found: dict[str, tuple[int, frozenset[str]]] = {}
    for axis, text in given.items():
        here = place.at(axis)
        if axis not in levels:
            raise here.refused(text, unknown(axis, levels, "axis"))
        factors = [part.strip() for part in str(text).removeprefix("-").split("*")]
        for factor in factors:
            if factor not in levels:
                raise here.refused(text, unknown(factor, levels, "axis"))
            if factor == axis or factor in given:
                raise here.refused(text, f"{factor} is itself decided by a generator; use other axes")
        if len(set(factors)) != len(factors) or len(factors) < 2:
            raise here.refused(text, "write a product of two or more axes, each once")
        found[axis] = (-1 if str(text).startswith("-") else 1, frozenset(factors))
    for axis, names in levels.items():
        if len(names) != 2:
            raise place.refused(value, f"axis {axis} has {len(names)} levels; a fraction is of axes with two")
    if weak := [effect for effect in _words(found) if len(effect) < 3]:
        one, two = sorted(weak[0]) if len(weak[0]) == 2 else ("an axis", "the mean")
        raise place.refused(value, f"{one} and {two} could not be told apart; choose other generators")
    return found


def _fraction(levels: Levels, generators: Mapping[str, tuple[int, frozenset[str]]]) -> Iterator[Cell]:
    base = {axis: names for axis, names in levels.items() if axis not in generators}
    for cell in full(base):
        whole = dict(cell)
        for axis, (sign, factors) in generators.items():
            for factor in factors:
                sign *= 1 if cell[factor] == levels[factor][-1] else -1
            whole[axis] = levels[axis][-1 if sign > 0 else 0]
        yield {axis: whole[axis] for axis in levels}


def _words(generators: Mapping[str, tuple[int, frozenset[str]]]) -> list[frozenset[str]]:
    """Return the products of axes that are constant over a fraction."""
    defining = [frozenset({axis}) ^ factors for axis, (_, factors) in generators.items()]
    subsets = chain.from_iterable(combinations(defining, size) for size in range(1, len(defining) + 1))
    found = []
    for subset in subsets:
        word: frozenset[str] = frozenset()
        for one in subset:
            word ^= one
        found.append(word)
    return found


def aliases(levels: Levels, design: Design) -> list[str]:
    """Return what a fraction cannot tell apart, a line per main effect and pair; nothing for other designs.

    >>> levels = {axis: ("off", "on") for axis in "abc"}
    >>> cells = read_design({"fraction": {"c": "a*b"}}, levels, Place("grid.yaml"))
    >>> aliases(levels, cells)
    ['resolution III: 4 of 8 cells', 'a = b*c', 'b = a*c', 'c = a*b']
    """
    if not design.generators:
        return []
    order, words = list(levels), _words(design.generators)
    least = min(map(len, words))
    numerals = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII"}
    lines = [
        f"resolution {numerals.get(least, least)}: {len(design.cells)} of {2 ** len(order)} cells",
    ]
    told: set[frozenset[str]] = set()
    for effect in map(frozenset, chain(combinations(order, 1), combinations(order, 2))):
        alike = sorted((effect ^ word for word in words), key=len)
        alike = [other for other in alike if len(other) <= (_LONGEST_ALIAS if len(effect) == 1 else 2)]
        if alike and effect not in told:
            told |= {effect, *(other for other in alike if len(other) > 1)} if len(effect) > 1 else set()
            names = ["*".join(axis for axis in order if axis in one) for one in [effect, *alike]]
            if len(effect) == 1 or all(len(other) > 1 for other in alike):
                lines.append(" = ".join(names))
    return lines


def cell_name(cell: Mapping[str, str], levels: Levels) -> str:
    """Return the name of a cell: the axes that are on.

    >>> levels = {"bonus": ("off", "on"), "weight": ("off", "p", "p2"), "order": ("off", "on")}
    >>> [cell_name(dict(zip(levels, one)), levels) for one in (("on", "p2", "on"), ("off", "off", "off"))]
    ['all', 'none']
    >>> [cell_name(dict(zip(levels, one)), levels) for one in (("off", "p2", "on"), ("on", "p", "off"))]
    ['no_bonus', 'bonus+weight-p']
    """
    off = [axis for axis, level in cell.items() if level == levels[axis][0]]
    last = all(level == levels[axis][-1] for axis, level in cell.items() if axis not in off)
    if len(off) == len(levels):
        return NONE
    if last and not off:
        return ALL
    if last and len(off) == 1 and len(levels) > 2:
        return f"no_{off[0]}"
    return "+".join(
        axis if len(levels[axis]) == 2 else f"{axis}-{level}"
        for axis, level in cell.items()
        if axis not in off
    )


def read_cell(value: Any, levels: Levels, place: Place) -> Cell:
    """Return a cell, or a part of one: axis -> level, of the axes that are written.

    Raises:
        RefusedError: it names an axis or a level that is not there.
    """
    found = {}
    for key, written in mapping(value, place, "{bonus: on, weight: off}").items():
        axis, level = name_of(key, place), name_of(written, place)
        if axis not in levels:
            raise place.refused(value, unknown(axis, levels, "axis"))
        if level not in levels[axis]:
            raise place.refused(value, unknown(level, levels[axis], f"level of {axis}"))
        found[axis] = level
    return found


def read_exclusions(value: Any, levels: Levels, design: Design, place: Place) -> Design:
    """Return a design without the cells that are excluded.

    Args:
        value: a list of parts of cells, such as ``[{bonus: on, weight: off}]``.
        levels: of the axes.
        design: the cells before.
        place: of the value.

    Raises:
        RefusedError: it is no such list, or one excludes nothing.
    """
    if not isinstance(value, list):
        raise place.refused(value, "write a list, such as [{bonus: on, weight: off}]")
    if value and design.generators:
        raise place.refused(
            value, "a fraction is balanced only as a whole; remove exclude, or choose another design"
        )
    left = list(design.cells)
    for number, part in enumerate(value):
        here = place.at(number)
        wanted = read_cell(part, levels, here)
        kept = [
            cell for cell in left if not wanted or any(cell[axis] != level for axis, level in wanted.items())
        ]
        if len(kept) == len(left):
            raise here.refused(part, "no cell of the design is excluded by it; remove it")
        left = kept
    return Design(tuple(left), design.generators)
