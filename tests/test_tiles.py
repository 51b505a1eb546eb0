import json
from collections import Counter
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from observer.data.tiles.build import SPECIAL, TAGS, VOCABULARY, write_blueprint
from observer.data.tiles.draw import BACKGROUND, CELL, COLOURS, GRID, SIDE, USUAL, VIEWS, draw_board
from observer.data.tiles.rows import (
    COMPLEXITY,
    DIFFICULTY,
    DIFFICULTY_BY_VIEW,
    DISTRACTORS,
    LEVELS,
    Tiles,
    _board,
)
from observer.rewards import Observe
from observer.types import RefusedError, Verdict
from observer.verifier.verify import verify

SPLITS = ("train", "val", "test")


def pixels(problem):
    return np.asarray(problem.pictures[0].load())


def told(problem):
    """What a problem says, without the functions that load its picture."""
    names = [picture.name for picture in problem.pictures]
    return problem.id, problem.row, problem.turns, problem.answer, problem.level, problem.metadata, names


# Rows


def test_a_row_follows_from_its_split_and_number_alone():
    short, long = Tiles(rows=16).read(), Tiles(rows=10**6).read()
    for row in (0, 7, 15):
        assert told(short[row]) == told(long[row])
        assert (pixels(short[row]) == pixels(long[row])).all()
    assert long[999_999].id == "tiles-train-999999"


def test_rows_are_problems_of_their_level():
    rows = Tiles(rows=24, split="val").read()
    assert len(rows) == len(list(rows)) == 24
    for row, problem in enumerate(rows):
        level = row % LEVELS + 1
        assert (problem.row, problem.level, problem.kind) == (row, level, "integer")
        assert rows.level[row] == level
        assert (problem.difficulty, problem.complexity) == (DIFFICULTY[level - 1], COMPLEXITY[level - 1])
        assert (rows.difficulty[row], rows.complexity[row]) == (problem.difficulty, problem.complexity)
        assert problem.turns[0].text.count("<image>") == len(problem.pictures) == 1
    assert len(set(rows.checked_rows())) == LEVELS


def test_a_board_has_as_many_tiles_of_the_asked_colour_as_its_level_and_the_answer_is_their_sum():
    others = [set() for _ in range(LEVELS)]
    for problem in Tiles(rows=400).read():
        board, colour = _board("train", problem.row)
        asked = [pips for _, (tint, pips) in sorted(board.items()) if tint == colour]
        assert len(asked) == problem.level
        assert sum(asked) == int(problem.answer)
        assert problem.metadata["pips"] == asked
        assert all(0 <= cell < GRID * GRID and 1 <= pips <= 6 for cell, (_, pips) in board.items())
        assert problem.question == f"<image>What is the sum of the {colour} tiles?"
        others[problem.level - 1].add(len(board) - len(asked))
    assert others == [set(range(most + 1)) for most in DISTRACTORS]


def tile_cells(problem):
    """What a tile covers of each cell wherever it lies, (cells, pixels, 3), and where it is coloured."""
    cells = pixels(problem).astype(int).reshape(GRID, CELL, GRID, CELL, 3).swapaxes(1, 2)
    inner = cells[:, :, 5:23, 5:23].reshape(GRID**2, -1, 3)
    return inner, np.ptp(inner, axis=-1) > 50


def test_the_picture_shows_the_board():
    tints = np.array(list(COLOURS.values()))
    for problem in Tiles(rows=48, split="test").read():
        inner, coloured = tile_cells(problem)
        shown = {
            cell: list(COLOURS)[np.abs(inner[cell][coloured[cell]].mean(0) - tints).sum(-1).argmin()]
            for cell in np.flatnonzero(coloured.any(-1))
        }
        assert shown == {cell: tint for cell, (tint, _) in _board("test", problem.row)[0].items()}


def test_chain_and_perception_are_independent_axes_that_every_row_states():
    rows = Tiles(rows=4 * LEVELS * len(VIEWS), axes="chain_and_perception").read()
    stated = [(problem.metadata["chain"], problem.metadata["perception"]) for problem in rows]
    cells = {(chain, view): 4 for chain in range(1, LEVELS + 1) for view in range(len(VIEWS))}
    assert Counter(stated) == cells
    for problem, (chain, view) in zip(rows, stated, strict=True):
        assert len(problem.metadata["pips"]) == chain == problem.level
        assert problem.complexity == COMPLEXITY[chain - 1]
        assert problem.difficulty == DIFFICULTY_BY_VIEW[view][chain - 1]
    # Difficulty says more than complexity does: it rises with either axis while the other stands still.
    table = np.array(DIFFICULTY_BY_VIEW)
    assert (np.diff(table, axis=1) >= 0).all()
    assert (table[2:].mean(1) > table[:2].mean(1).max()).all()
    usual = Tiles(rows=LEVELS).read()
    assert [problem.metadata["perception"] for problem in usual] == [USUAL] * LEVELS


def test_a_view_is_the_harder_to_see_the_higher_it_is():
    def spread(view):
        board = np.asarray(draw_board({}, np.random.default_rng(0), VIEWS[view]), np.float64)
        return board.std()

    assert sorted(range(len(VIEWS)), key=spread) == list(range(len(VIEWS)))
    rows = Tiles(rows=40 * LEVELS * len(VIEWS), axes="chain_and_perception").read()
    others = [set() for _ in VIEWS]
    for problem in rows:
        view = problem.metadata["perception"]
        board, _ = _board("train-seen", problem.row, view)
        others[view].add(len(board) - problem.level)
    assert [max(seen) for seen in others] == [0, 2, 3, 5]


def test_more_pips_are_more_ink():
    inks = {pips: [] for pips in range(1, 7)}
    for problem in (Tiles(rows=8 * 120).read()[8 * row] for row in range(120)):
        _, coloured = tile_cells(problem)
        (cell,) = np.flatnonzero(coloured.any(-1))  # level 1 shows one tile
        inks[problem.metadata["pips"][0]].append(int((~coloured[cell]).sum()))
    means = [float(np.mean(inks[pips])) for pips in range(1, 7)]
    assert means == sorted(means)
    assert means[0] > 0


def test_splits_share_no_row_and_no_picture():
    ids, pictures, hard_boards = set(), set(), set()
    for split in SPLITS:
        for problem in Tiles(rows=128, split=split).read():
            ids.add(problem.id)
            pictures.add(pixels(problem).tobytes())
            if problem.level >= 4:  # lower levels have few boards, which do recur
                hard_boards.add(repr(sorted(_board(split, problem.row)[0].items())))
    assert (len(ids), len(pictures), len(hard_boards)) == (3 * 128, 3 * 128, 3 * 128 * 5 // 8)


def test_the_worked_solution_keeps_the_format_and_is_right():
    for problem in Tiles(rows=64).read():
        reading = Observe().read(problem.metadata["solution"])
        assert reading.formatted
        assert reading.blocks["observe"].split() == [str(pips) for pips in problem.metadata["pips"]]
        assert verify(problem.answer, reading.answer, problem.kind)[0] is Verdict.CORRECT
        assert verify(str(int(problem.answer) + 1), reading.answer, problem.kind)[0] is Verdict.WRONG


def test_the_blank_control_asks_the_same_and_shows_nothing():
    blank, right = Tiles(rows=8, picture="blank").read(), Tiles(rows=8).read()
    for row in range(8):
        assert told(blank[row])[:-1] == told(right[row])[:-1]
        assert (pixels(blank[row]) == BACKGROUND).all()
        assert blank[row].pictures[0].size() == (SIDE, SIDE)


@pytest.mark.parametrize("count", [8, 12, 24])
def test_the_wrong_control_asks_the_same_and_shows_another_row_of_the_level(count):
    wrong, right = Tiles(rows=count, picture="wrong").read(), Tiles(rows=64).read()
    for row in range(count):
        assert told(wrong[row])[:-1] == told(right[row])[:-1]
        other = right[row + LEVELS]
        assert other.level == wrong[row].level
        assert wrong[row].pictures[0].name == other.pictures[0].name
        assert (pixels(wrong[row]) == pixels(other)).all()
        assert (pixels(wrong[row]) != pixels(right[row])).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 7}, "Tiles.rows is 7; it must be at least 8, one row a level"),
        ({"split": "dev"}, "Tiles.split is 'dev'; it must be one of train, val, test"),
        ({"picture": "none"}, "Tiles.picture is 'none'; it must be one of right, blank, wrong"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RefusedError) as caught:
        Tiles(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize("row", [-1, 8])
def test_a_row_that_does_not_exist_is_an_index_error(row):
    with pytest.raises(IndexError, match=f"row {row} of 8"):
        Tiles(rows=8).read()[row]


# The model's folder


def test_the_shipped_folder_is_what_the_blueprint_writes(checkpoint, tmp_path):
    write_blueprint(tmp_path)
    written, shipped = (
        {
            path.name: path.read_text(encoding="utf-8")
            for path in folder.iterdir()
            if path.suffix != ".safetensors"
        }
        for folder in (tmp_path, checkpoint)
    )
    assert written.keys() == shipped.keys() - {"generation_config.json"}
    assert written["chat_template.jinja"] == shipped["chat_template.jinja"]
    for name in ("tokenizer.json", "processor_config.json"):
        assert json.loads(written[name]) == json.loads(shipped[name])
    assert essentials(written["tokenizer_config.json"]) == essentials(shipped["tokenizer_config.json"])
    assert essentials(written["config.json"]) == essentials(shipped["config.json"])


def essentials(text):
    """A configuration without what loading and saving weights adds to it."""
    added = {"architectures", "dtype", "transformers_version", "is_local", "local_files_only"}

    def kept(value):
        return {k: kept(v) for k, v in value.items() if k not in added} if isinstance(value, dict) else value

    return kept(json.loads(text))


def test_the_shipped_folder_is_small(checkpoint):
    files = list(checkpoint.iterdir())
    assert (checkpoint / "model.safetensors").stat().st_size > 1_000_000
    assert sum(path.stat().st_size for path in files) < 3_000_000
    with safe_open(checkpoint / "model.safetensors", "np") as weights:
        sizes = {name: prod(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    assert 735_000 < sum(sizes.values()) < 745_000


def test_the_vocabulary_holds_tags_and_digits_as_single_tokens(processor):
    tokenizer = processor.tokenizer
    assert len(tokenizer) == VOCABULARY == 329
    for token in (*SPECIAL, *TAGS, *"0123456789"):
        assert tokenizer.tokenize(token) == [token]
    assert tokenizer.tokenize("<think>12</think>") == ["<think>", "1", "2", "</think>"]
    for digit in "0123456789":
        assert len(tokenizer.tokenize(f" {digit}")) == 1
        assert len(tokenizer.tokenize(f"4{digit}")) == 2
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert set(SPECIAL[1:]) <= set(tokenizer.all_special_tokens)
    assert not set(TAGS) & set(tokenizer.all_special_tokens)  # decoding keeps them


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(
        st.text() | st.sampled_from([*TAGS, " ", "\n", " 12 + 3", "  What is", "é", "\u4e2d", "\U0001f600"]),
        max_size=6,
    ).map("".join)
)
def test_the_tokenizer_loses_nothing(processor, text):
    tokenizer = processor.tokenizer
    if any(special in text for special in SPECIAL):
        return
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_complexity_is_the_mean_length_of_a_worked_solution(processor):
    problems = list(Tiles(rows=512 * LEVELS).read())
    lengths = [
        len(ids) + 1 for ids in processor.tokenizer([p.metadata["solution"] for p in problems]).input_ids
    ]
    means = np.reshape(lengths, (-1, LEVELS)).mean(0)
    assert [round(float(mean)) for mean in means] == list(COMPLEXITY)


def test_a_picture_is_nine_visual_tokens(renderer, processor):
    prompts = renderer.render([Tiles(rows=8).read()[row] for row in (0, 7)])
    image_id = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for prompt in prompts:
        assert prompt.ids.count(image_id) == GRID * GRID == 9
        assert [p.grid.tolist() for p in prompt.pictures] == [[1, 6, 6]]
        assert len(prompt.ids) == renderer.check(prompt.problem) < 32
