"""Contrasts: weights over variants that sum to 0, as ``a - b``, as the effect of an axis, or one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from observer.ablation.factorial import Cell, Levels
from observer.ablation.grid_file import Place, mapping, name_of, unknown

Weights = dict[str, float]
"""Variant -> its weight; they sum to 0."""


def read_contrasts(
    value: Any,
    variants: Iterable[str],
    cells: Mapping[str, Cell],
    levels: Levels,
    fraction: bool,
    place: Place,
) -> dict[str, Weights]:
    """Return the primary contrasts by name.

    Args:
        value: of the file.
        variants: names of all variants.
        cells: name of a variant that comes from axes -> its cell.
        levels: of the axes.
        fraction: whether the cells are a fraction of all.
        place: of the value.

    Raises:
        RefusedError: one names a variant or an axis that is not there, or its weights do not sum to 0.
    """
    known = list(variants)
    found: dict[str, Weights] = {}
    for key, written in mapping(value, place, "{bonus: with_bonus - without}").items():
        here = place.at(key)
        name = name_of(key, here)
        if isinstance(written, str):
            weights = _difference(written, known, here)
        elif isinstance(written, Mapping) and "effect" in written:
            weights = _effect(written, cells, levels, fraction, here)
        else:
            weights = _weights(written, known, here)
        for other, given in found.items():
            if given in (weights, {variant: -weight for variant, weight in weights.items()}):
                raise here.refused(written, f"it is the same as {other}; remove one of them")
        found[name] = weights
    return found


def _difference(text: str, known: list[str], place: Place) -> Weights:
    one, _, other = (part.strip() for part in text.partition(" - "))
    if not one or not other:
        raise place.refused(text, "write a - b, {effect: axis}, or the weight of each variant")
    for name in (one, other):
        if name not in known:
            raise place.refused(text, unknown(name, known, "variant"))
    if one == other:
        raise place.refused(text, "write two variants that differ")
    return {one: 1.0, other: -1.0}


def _weights(written: Any, known: list[str], place: Place) -> Weights:
    given = mapping(written, place, "a - b, {effect: axis}, or {a: 0.5, b: 0.5, c: -1}")
    for name, weight in given.items():
        if name not in known:
            raise place.refused(written, unknown(name, known, "variant"))
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= 1:
            raise place.at(name).refused(
                weight, "write a number from -1 to 1: what is reported is a difference in points"
            )
    weights = {name: float(weight) for name, weight in given.items() if weight}
    total = math.fsum(weights.values())
    if not weights or abs(total) > 1e-6:
        raise place.refused(
            written, f"its weights sum to {total:g}; write weights that sum to 0, not all of them 0"
        )
    return weights


def _effect(
    written: Mapping[Any, Any], cells: Mapping[str, Cell], levels: Levels, fraction: bool, place: Place
) -> Weights:
    """Return the main effect of an axis: a level less the first, over the cells that differ in it alone."""
    axis = written["effect"]
    if others := [str(key) for key in written if key not in ("effect", "level")]:
        raise place.refused(dict(written), f"{unknown(others[0], ('effect', 'level'), 'key')}")
    if not isinstance(axis, str) or axis not in levels:
        raise place.at("effect").refused(axis, unknown(axis, levels, "axis"))
    off, *more = levels[axis]
    level = str(written.get("level", more[-1]))
    if level not in more or ("level" not in written and len(more) > 1):
        raise place.refused(
            dict(written), f"axis {axis} has levels {', '.join(more)} beside {off}; write one as level"
        )

    def key(cell: Cell) -> frozenset[tuple[str, str]]:
        return frozenset((other, at) for other, at in cell.items() if other != axis)

    on_cells = {name: cell for name, cell in cells.items() if cell[axis] == level}
    off_cells = {name: cell for name, cell in cells.items() if cell[axis] == off}
    without = {key(cell): name for name, cell in off_cells.items()}
    pairs = [(name, without[key(cell)]) for name, cell in on_cells.items() if key(cell) in without]
    if pairs:
        share = 1 / len(pairs)
        return {name: sign * share for pair in pairs for name, sign in zip(pair, (1, -1), strict=True)}
    if fraction:
        return {name: 1 / len(on_cells) for name in on_cells} | {
            name: -1 / len(off_cells) for name in off_cells
        }
    raise place.refused(
        dict(written), f"no two variants differ in {axis} alone; choose another design, or name two"
    )
