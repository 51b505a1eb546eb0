"""Tiles in parts and out of distribution: chosen levels, a start's own difficulty, held-out shifts."""

from typing import get_args

import numpy as np
import pytest

from observer.data.tiles.draw import CELL, COLOURS, GRID
from observer.data.tiles.rows import LEVELS, Tiles
from observer.data.tiles.shifts import OTHER_COLOURS, SHADES, SHIFTS, Shift
from observer.types import RefusedError

NAMES = [name for name in get_args(Shift) if name != "none"]


def pixels(problem):
    return np.asarray(problem.pictures[0].load()).astype(int)


def rows(count=4 * LEVELS, **options):
    return list(Tiles(rows=count, split="test", **options).read())


def test_chosen_levels_are_the_rows_of_the_whole_ladder():
    whole = {problem.id: problem for problem in rows(4 * LEVELS)}
    chosen = Tiles(rows=24, split="test", levels=(3, 4, 5, 6, 7, 8)).read()
    assert [problem.level for problem in chosen] == [3, 4, 5, 6, 7, 8] * 4
    for row, problem in enumerate(chosen):
        same = whole[problem.id]
        assert (problem.row, problem.metadata, problem.difficulty) == (row, same.metadata, same.difficulty)
        assert (pixels(problem) == pixels(same)).all()
    assert list(chosen.checked_rows()) == list(range(6))
    assert chosen.level.tolist() == [problem.level for problem in chosen]
    wrong = Tiles(rows=24, split="test", levels=(3, 8), picture="wrong").read()
    assert wrong[1].pictures[0].name == Tiles(rows=24, split="test", levels=(3, 8)).read()[3].pictures[0].name
    seen = Tiles(rows=64, levels=(1, 2), axes="chain_and_perception").read()
    assert [seen[row].metadata["perception"] for row in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_start_can_have_its_own_difficulty():
    own = (0.0, 0.0, 0.25, 0.5, 0.5, 1.0, 1.0, 1.0)
    assert [problem.difficulty for problem in rows(8, difficulty=own)] == list(own)


def test_each_shift_changes_what_it_says_and_nothing_else():
    usual = rows()
    for name in NAMES:
        for was, now in zip(usual, rows(shift=name), strict=True):
            assert was.id == now.id
            words = [each.question.replace(each.metadata["colour"], "..") for each in (was, now)]
            assert (words[0] == words[1]) == (name != "question")
            other_board = name in ("grid", "targets", "colours")
            assert other_board or was.metadata == now.metadata
            same_picture = name == "question"
            assert same_picture == np.array_equal(pixels(was), pixels(now)), name
            assert now.pictures[0].name != was.pictures[0].name
            assert now.pictures[0].size()[::-1] == pixels(now).shape[:2]


def test_a_larger_board_has_more_cells_of_the_same_size():
    boards = [pixels(problem) for problem in rows(48, shift="grid")]
    assert {board.shape for board in boards} == {(4 * CELL, 4 * CELL, 3)}
    coloured = np.ptp(np.stack(boards), axis=-1).max(0) > 50
    assert coloured[-CELL:].any()
    assert coloured[:, -CELL:].any()
    assert [problem.level for problem in rows(shift="grid")] == [problem.level for problem in rows()]
    assert rows(8, shift="grid", picture="blank")[0].pictures[0].size() == (4 * CELL, 4 * CELL)


def test_more_targets_than_trained_fill_the_board():
    for problem in rows(shift="targets"):
        assert problem.level == len(problem.metadata["pips"]) == GRID * GRID > LEVELS


def nearest(colour, palette):
    return min(palette, key=lambda name: np.abs(np.subtract(palette[name], colour)).sum())


def test_unseen_colours_are_in_every_board_beside_the_one_asked_for():
    known = {**COLOURS, **OTHER_COLOURS}
    for problem in rows(40, shift="colours"):
        board = pixels(problem).reshape(GRID, CELL, GRID, CELL, 3).swapaxes(1, 2).reshape(9, CELL**2, 3)
        found = []
        for cell in board:
            coloured = cell[np.ptp(cell, axis=-1) > 50]
            found += [nearest(np.median(coloured, 0), known)] if len(coloured) > 50 else []
        assert found.count(problem.metadata["colour"]) == problem.level
        assert set(found) <= {problem.metadata["colour"], *OTHER_COLOURS}
        assert len(found) > problem.level


def test_another_shade_is_still_nearest_to_its_colour():
    assert {name: nearest(shade, COLOURS) for name, shade in SHADES.items()} == {
        name: name for name in COLOURS
    }
    assert SHIFTS["shades"].palette == SHADES


def test_a_reworded_question_has_the_same_tokens_in_another_order(processor):
    tokenize = processor.tokenizer.tokenize
    for was, now in zip(rows(8), rows(8, shift="question"), strict=True):
        assert sorted(tokenize(was.question)) == sorted(tokenize(now.question)) != tokenize(was.question)


def test_rows_with_another_shift_are_other_rows():
    prints = [set(Tiles(rows=8, shift=name).read().fingerprints().tolist()) for name in get_args(Shift)]
    assert len(set.union(*prints)) == 8 * len(prints)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ()}, r"Tiles.levels is \(\); write levels from 1 to 8, ascending, or null for all"),
        ({"levels": (3, 9)}, r"Tiles.levels is \(3, 9\); write levels"),
        ({"levels": (4, 3)}, r"Tiles.levels is \(4, 3\); write levels"),
        ({"difficulty": (0.5,)}, r"Tiles.difficulty is \(0.5,\); write 8 shares in \[0, 1\], or null"),
        ({"difficulty": (1.5,) * 8}, r"Tiles.difficulty is .*; write 8 shares"),
        ({"shift": "dark"}, "Tiles.shift is 'dark'; it must be one of none, grid, targets"),
        ({"shift": "blur", "axes": "chain_and_perception"}, "axes chain_and_perception has none"),
        ({"difficulty": (0.5,) * 8, "axes": "chain_and_perception"}, "set axes to chain, or this to null"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RefusedError, match=message):
        Tiles(**options)
