"""Rewards for what a response says that it sees, in what language, and for the box that it answers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.data.tiles.rows import Tiles
from observer.rewards import BoxIoU, LanguageConsistency, ObservationFidelity, ObservationLength
from observer.types import Group, Patches, Picture, Prompt, Sampling, Verdict
from rewarded import group_of, scores_of
from tables import holds_for

BLOCK = "<observe>a</observe>"


# What a response sees


def test_the_length_of_an_observation_counts_between_bounds():
    group = group_of(["<observe> abcd </observe>", "<observe></observe>", BLOCK * 2, "abcd"])
    nothing = [0.0, 0.0, 0.0]
    scores = scores_of([Verdict.WRONG] * 4)
    for low, high, value in ((0, None, 1), (4, 4, 1), (8, None, 0.5), (1, 2, 0.5)):
        assert ObservationLength(low=low, high=high, unit="characters")(group, scores, 0) == [value, *nothing]
    tokens = group_of(["<observe>" + "a" * 31 + "</observe>"], [range(10)])  # 31 of 50 characters: 6.2 tokens
    assert ObservationLength(low=62)(tokens, scores[:1], 0) == [pytest.approx(0.1)]


def test_a_worked_tiles_solution_states_every_pip():
    for problem in list(Tiles(rows=64).read()):
        texts = [problem.metadata["solution"], "<observe> 9 </observe>", "no block"]
        group = Group(Prompt(problem, ()), group_of(texts).completions, Sampling())
        for count_surplus in (False, True):
            reward = ObservationFidelity(count_surplus=count_surplus)
            assert reward(group, scores_of([Verdict.WRONG] * 3), 0) == [1.0, 0.0, 0.0]


@given(
    facts=st.lists(st.integers(1, 6), min_size=1, max_size=9), stated=st.lists(st.integers(1, 6), max_size=9)
)
@settings(max_examples=150, deadline=None)
def test_facts_are_matched_one_by_one(facts, stated):
    left, found = list(stated), 0
    for fact in facts:
        if fact in left:
            left.remove(fact)
            found += 1
    block = ", ".join(map(str, stated))
    assert ObservationFidelity().share(block, facts) == found / len(facts)
    surplus = found / max(len(facts), len(stated))
    assert ObservationFidelity(count_surplus=True).share(block, facts) == surplus


@holds_for(
    ("block", "facts", "share"),
    [
        ("AB is 5.0 cm long", ["5", "ab"], 1.0),
        ("15 or 50 or x5", [5], 0.0),
        ("at −3", [-3], 1.0),
        ("3-4", [4], 1.0),
        ("a redder dial", ["red", "dial"], 0.5),
        ("version 1.5", [5, 1], 0.0),
        ("THE  Red\nsquare", ["red square"], 1.0),
    ],
)
def test_numbers_and_words_are_whole(block, facts, share):
    assert ObservationFidelity().share(block, facts) == share


def test_a_row_without_facts_has_no_fidelity_and_broken_facts_stop_the_run():
    scores = scores_of([Verdict.CORRECT])
    for metadata in ({}, {"facts": []}, {"pips": None}):
        assert ObservationFidelity()(group_of([BLOCK], metadata=metadata), scores, 0) == [None]
    assert ObservationFidelity()(group_of([BLOCK], metadata={"facts": "a"}), scores, 0) == [1.0]
    for broken in ({"facts": [{}]}, {"facts": [True]}, {"facts": [" "]}, {"facts": {"a": 1}}):
        with pytest.raises(ValueError, match="metadata 'facts' holds"):
            ObservationFidelity()(group_of([BLOCK], metadata=broken), scores, 0)


@holds_for(
    ("script", "text", "share"),
    [
        ("latin", "<think>Zoë 3</think>", 1.0),
        ("latin", "abc где", 0.5),
        ("cyrillic", r"где $a+b$ \(c\) `d` \[e\] \frac{1}{2} $$f$$", 1.0),
        ("chinese", "答案 is", 0.5),
        ("japanese", "答えはラーメン", 1.0),
        ("korean", "답", 1.0),
        ("thai", "ก", 1.0),
        ("latin", "ｆｕｌｌ", 1.0),
        ("latin", "3 + 4 = 7", None),
        ("latin", "where $ is open, где", 11 / 14),
    ],
)
def test_letters_are_counted_by_script(script, text, share):
    assert LanguageConsistency(script=script)(group_of([text]), scores_of([Verdict.WRONG]), 0) == [
        share if share is None else pytest.approx(share)
    ]


# Boxes


SIDES = st.integers(0, 12)


@given(
    a=st.tuples(SIDES, SIDES, SIDES, SIDES), b=st.tuples(SIDES, SIDES, st.integers(1, 9), st.integers(1, 9))
)
@settings(max_examples=150, deadline=None)
def test_iou_counts_the_cells_of_a_grid(a, b):
    gold = (b[0], b[1], b[0] + b[2], b[1] + b[3])

    def cells(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    either = cells(a) | cells(gold)
    expected = len(cells(a) & cells(gold)) / len(either) if cells(a) else 0.0
    group = group_of(["x"], metadata={"box": list(gold)})
    score = scores_of([Verdict.WRONG], extracted=str(list(a)))
    assert BoxIoU("xyxy", "picture")(group, score, 0) == [pytest.approx(expected)]


@holds_for(
    "answer",
    [
        "[1, 2, 3, 4]",
        "1,2,3,4",
        "(1, 2, 3.0, 4)",
        "(1,2),(3,4)",
        "<|box_start|>(1,2),(3,4)<|box_end|>",
        '{"bbox_2d": [1, 2, 3, 4], "label": "cat"}',
        '[{"bbox": [1, 2, 3, 4]}]',
        '```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```',
    ],
)
def test_a_box_is_read_however_it_is_written(answer):
    assert BoxIoU("xyxy", "unit").overlap(answer, [1, 2, 3, 4]) == 1.0


@holds_for(
    "answer",
    [
        None,
        "",
        "7",
        "[1, 2, 3]",
        "[[1,2,3,4],[1,2,3,4]]",
        "[3,4,1,2]",
        "[NaN, 2, 3, 4]",
        "[" * 900,
        "[1e999,1,1,1]",
    ],
)
def test_what_is_no_box_covers_nothing(answer):
    assert BoxIoU("xyxy", "unit").overlap(answer, [1, 2, 3, 4]) == 0.0


def test_scales_are_turned_into_each_other_by_the_sides_of_the_picture():
    picture = Picture("p", lambda: (200, 400), lambda: None)  # height, width
    patches = Patches(
        torch.zeros(0), torch.tensor([1, 10, 20])
    )  # as the model sees it: 140 x 280 at patch 14
    gold = [100, 50, 200, 100]  # x and y from a quarter to a half of the picture
    group = group_of(["x"], metadata={"box": gold}, pictures=(picture,), patches=(patches,))
    answers = {
        "unit": [0.25, 0.25, 0.5, 0.5],
        "thousandths": [250, 250, 500, 500],
        "input": [70, 35, 140, 70],
    }
    for scale, answer in {**answers, "picture": gold}.items():
        reward = BoxIoU("xyxy", scale, gold_scale="picture")
        assert reward(group, scores_of([Verdict.WRONG], extracted=str(answer)), 0) == [pytest.approx(1.0)]
    with pytest.raises(ValueError, match="0 pictures"):
        BoxIoU("xyxy", "unit", gold_scale="picture")(group_of(["x"], metadata={"box": gold}), [], 0)


def test_the_gold_box_is_the_metadatas_or_the_answer_and_a_broken_one_stops_the_run():
    score = scores_of([Verdict.WRONG], extracted="[0, 0, 1, 1]")
    assert BoxIoU("xyxy", "unit")(group_of(["x"]), score, 0) == [None]
    assert BoxIoU("xyxy", "unit", field=None)(group_of(["x"], answer="(0, 0, 1, 1)"), score, 0) == [1.0]
    with pytest.raises(ValueError, match="correct gold_order"):
        BoxIoU("xyxy", "unit")(group_of(["x"], metadata={"box": [1, 1, 1, 2]}), score, 0)
