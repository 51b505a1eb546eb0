"""Copies of rows are found, in a data set and between two; their twins with another answer are not."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from observer.data.duplicates import (
    SIGNATURE,
    Relation,
    find_copies,
    find_leaks,
    relation,
    sign,
    write_signatures,
)
from observer.data.duplicates import nominate as nominating
from observer.data.duplicates.nominate import Nominations
from observer.types import RefusedError, Turn
from planted import COPIES, WORDINGS, board, copied, drawing, made, reworded, shown

COUNTS = [10, pytest.param(200, marks=pytest.mark.slow)]


def signed(problems):
    return np.array([sign(problem) for problem in problems], SIGNATURE)


def scores(found, planted):
    return len(found & planted) / len(planted), len(found & planted) / max(1, len(found))


@pytest.mark.parametrize("count", COUNTS)
def test_planted_copies_are_found_and_near_twins_with_another_answer_stay(count, tmp_path):
    rows = [made(seed) for seed in range(2 * count)]
    twins = [replace(made(seed, twin=True), id=f"t{seed}") for seed in range(count)]
    copies = [copied(rows[number], number) for number in range(count)]
    problems = [*rows, *twins, *copies]
    signatures = write_signatures(problems, len(problems), tmp_path / "signatures.npy")
    found = find_copies(problems, signatures)
    dropped = {(row, first) for row, first in enumerate(found.first_R.tolist()) if row != first}
    recall, precision = scores(dropped, {(3 * count + number, number) for number in range(count)})
    assert recall >= 0.95, sorted(set(range(3 * count, 4 * count)) - {row for row, _ in dropped})
    assert precision >= 0.95
    assert not {row for row, _ in dropped} & set(range(2 * count, 3 * count)), "no twin is dropped"
    doubted = {one.row for one in found.doubtful} & set(range(2 * count, 3 * count))
    assert len(doubted) <= 0.01 * count, "nor doubted, but where another label covers the digit"
    assert not len(found.crowded)


@pytest.mark.parametrize("count", COUNTS)
def test_leaks_of_a_benchmark_are_found_with_the_row_they_are_of(count):
    benchmark = [made(seed) for seed in range(10_000, 10_000 + count)]
    leaks = [copied(problem, number) for number, problem in enumerate(benchmark)]
    twins = [made(seed, twin=True) for seed in range(10_000, 10_000 + count)]
    problems = [*map(made, range(count)), *twins, *leaks]
    found = find_leaks(problems, signed(problems), benchmark, signed(benchmark))
    pairs = {(one.row, one.like) for one in found.found}
    recall, precision = scores(pairs, {(2 * count + number, number) for number in range(count)})
    assert recall >= 0.95
    assert precision >= 0.95
    assert not {row for row, _ in pairs} & set(range(count, 2 * count))
    assert not len(found.crowded)


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_the_same_picture_however_it_was_copied(way):
    for picture in (board(0)[0], board(2)[0], drawing(3)[0]):
        one, other = made(0), made(0)
        one = replace(one, pictures=(shown(picture),))
        other = replace(other, pictures=(shown(COPIES[way](picture)),))
        assert relation(one, other) is Relation.DUPLICATE


@pytest.mark.parametrize("how", WORDINGS)
def test_a_question_is_the_same_however_it_is_written(how):
    for problem in map(made, range(5)):
        other = reworded(problem, WORDINGS[how](problem.question))
        assert relation(problem, other) is Relation.DUPLICATE


def test_a_twin_with_the_same_answer_is_told_apart_by_its_pixels():
    for seed in range(4):
        for draw in (board, drawing):
            one, other = replace(made(0), pictures=(shown(draw(seed)[0]),)), made(0)
            for way in ("exact", "jpeg 75", "one and a half"):
                twin = replace(other, pictures=(shown(COPIES[way](draw(seed, twin=True)[0])),))
                assert relation(one, twin) is Relation.UNRELATED, (seed, draw, way)


def test_one_picture_with_two_questions_is_no_duplicate_and_another_gold_is_doubted():
    row = made(2)
    other_question = reworded(row, "<image>Which letter is at the top?")
    assert relation(row, other_question) is Relation.UNRELATED
    assert relation(row, replace(row, answer=str(int(row.answer) + 1))) is Relation.OTHER_GOLD
    assert relation(row, replace(row, answer=f"\\boxed{{{row.answer}}}")) is Relation.DUPLICATE
    longer = reworded(row, row.question + " Answer with one number.")
    assert relation(row, longer) is Relation.REWORDED
    assert relation(row, replace(longer, answer="-1")) is Relation.UNRELATED
    problems = [row, other_question, replace(row, answer="-5"), longer, row]
    found = find_copies(problems, signed(problems))
    assert found.first_R.tolist() == [0, 1, 2, 3, 0]
    assert [(one.row, one.like, one.relation.value) for one in found.doubtful] == [
        (2, 0, "other gold"),
        (3, 0, "reworded"),
    ]


def test_one_digit_of_the_question_is_another_question():
    row = made(4)
    number = row.question.split()[3]
    twin = reworded(row, row.question.replace(number, f"${int(number[1:]) + 1}"))
    assert relation(row, twin) is Relation.UNRELATED
    assert find_copies([row, twin], signed([row, twin])).first_R.tolist() == [0, 1]


def test_options_of_a_choice_may_stand_in_another_order():
    row = replace(made(0), kind="choice", options=("red", "blue", "green"), answer="B")
    assert relation(row, replace(row, options=("blue", "red", "green"), answer="(A)")) is Relation.DUPLICATE
    assert relation(row, replace(row, options=("blue", "red", "green"))) is Relation.OTHER_GOLD
    assert relation(row, replace(row, options=("red", "blue", "white"))) is not Relation.DUPLICATE


def test_several_pictures_count_in_their_order():
    row = made(3)
    swapped = replace(row, pictures=row.pictures[::-1])
    assert relation(row, swapped) is Relation.UNRELATED
    assert relation(row, replace(row, pictures=row.pictures[:1])) is Relation.UNRELATED
    copy = replace(row, pictures=tuple(shown(COPIES["jpeg 75"](one.load())) for one in row.pictures))
    assert find_copies([row, swapped, copy], signed([row, swapped, copy])).first_R.tolist() == [0, 1, 0]


def test_earlier_turns_count_and_the_system_prompt_does_not():
    row = made(4)
    told = replace(row, turns=(Turn("system", "Think."), *row.turns))
    assert relation(row, told) is Relation.DUPLICATE
    asked = replace(row, turns=(Turn("user", "Hello"), Turn("assistant", "Hi"), *row.turns))
    assert relation(row, asked) is not Relation.DUPLICATE


def test_rows_that_all_look_alike_are_compared_within_a_limit_and_named(monkeypatch):
    monkeypatch.setattr(nominating, "MOST_NEIGHBOURS", 5)
    white = replace(made(2), pictures=(shown(Image.new("RGB", (60, 60), "white")),))
    rows = [replace(white, id=f"w{number}", answer=str(number)) for number in range(20)]
    found = find_copies([*rows, *rows], signed([*rows, *rows]))
    assert found.first_R[20:].tolist() == list(range(20)), "equal rows are found without a limit"
    assert len(found.crowded) > 0
    assert {one.relation for one in found.doubtful} == {Relation.OTHER_GOLD}
    leaks = find_leaks(rows, signed(rows), [white], signed([white]))
    assert len(leaks.found) == 20


def test_looking_for_copies_takes_at_most_70_bytes_per_row(tmp_path):
    count, dice = 30_000, np.random.default_rng(0)
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", SIGNATURE, (count,))
    for name in SIGNATURE.names:
        rows[name] = dice.integers(0, 2**8 if name in ("thumbnail", "light") else 2**32, rows[name].shape)
    rows["pictures"] = 1
    tracemalloc.start()
    try:
        copies = find_copies([None] * count, rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert copies.first_R.tolist() == list(range(count))
    assert peak <= 70 * count + 2_000_000, f"{peak / count} bytes per row"


def test_each_pair_is_nominated_once():
    rows = signed([made(0)] * 3 + [replace(made(0), answer="0")] * 2 + [made(1)])
    pairs = np.concatenate(list(Nominations(rows))).tolist()
    assert sorted(pairs) == [[0, 1], [0, 2], [0, 3], [3, 4]]
    assert list(Nominations(rows[:0])) == []
    assert list(Nominations(rows, rows[:0])) == []


def test_what_is_missing_is_refused_by_name(monkeypatch, tmp_path):
    with pytest.raises(RefusedError, match="cannot be written"):
        write_signatures([made(4)], 1, tmp_path / "none" / "a.npy")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r'imagehash and datasketch, not installed here: pip install "obs'):
        write_signatures([made(4)], 1, tmp_path / "a.npy")
