from collections import Counter
from fractions import Fraction

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from growth import largest, work
from observer.curriculum import DrawRequest, LadderIndex, Random, Schedule, Sorted, Stage, Stages
from observer.seeding import stable_seed
from observer.types import RefusedError
from tables import holds_for

WARM = Stages([Stage(steps=3, levels={0: 1.0, 1: 1.0}), Stage(steps=None, levels={0: 0.7, 1: 0.2, 2: 0.1})])
few = settings(max_examples=60, deadline=None)


def ladder_of(size: int, seed: int = 0) -> LadderIndex:
    generator = numpy.random.default_rng(seed)
    level_R = generator.permutation(numpy.arange(size) % 3)
    return LadderIndex(level_R / 2, generator.integers(1, 5, size), level_R)


@st.composite
def settings_of_a_run(draw: st.DrawFn, spare: int = 1) -> tuple[LadderIndex, int, int, int]:
    """A ladder of R rows, prompts a step (at most R / spare), a horizon and a seed."""
    size = draw(st.integers(spare, 60))
    count = draw(st.integers(1, size // spare))
    return (
        ladder_of(size, draw(st.integers(0, 9))),
        count,
        draw(st.integers(1, 40)),
        draw(st.integers(0, 2**40)),
    )


# seeds


def test_a_seed_is_the_same_in_every_process_and_version():
    assert stable_seed(42, "schedule", 7) == 5558223036675466807


@few
@given(st.lists(st.integers() | st.text(), max_size=4), st.lists(st.integers() | st.text(), max_size=4))
def test_different_parts_make_different_seeds_of_63_bits(one, other):
    assert 0 <= stable_seed(*one) < 2**63
    assert (stable_seed(*one) == stable_seed(*other)) == (one == other)


# every schedule


@pytest.mark.parametrize("schedule", [Random(), Sorted(), Sorted(descending=True), WARM], ids=str)
@few
@given(run=settings_of_a_run(spare=5), step=st.integers(0, 100))
def test_a_draw_is_pure_and_of_distinct_rows_of_the_ladder(schedule, run, step):
    index, count, horizon, seed = run
    rows = schedule.batch(DrawRequest(index, step, count, horizon, seed))
    assert len(rows) == len(set(rows)) == count
    assert set(rows) <= set(range(len(index)))
    assert all(type(row) is int for row in rows)
    for other in range(3):  # draws of other steps and seeds in between leave no trace
        schedule.batch(DrawRequest(index, other, count, horizon, seed + 1))
    assert schedule.batch(DrawRequest(index, step, count, horizon, seed)) == rows


@holds_for("schedule", [Random(), Sorted(), WARM])
def test_a_batch_larger_than_the_ladder_is_refused_with_both_numbers(schedule):
    with pytest.raises(RefusedError, match=r"batch of 13 .* ladder of 12 rows"):
        schedule.batch(DrawRequest(ladder_of(12), 0, 13, 5, 0))


@holds_for(("step", "count", "horizon"), [(-1, 1, 1), (0, 1, 0), (0, 0, 1)])
def test_impossible_steps_and_horizons_are_refused(step, count, horizon):
    with pytest.raises(RefusedError):
        Random().batch(DrawRequest(ladder_of(12), step, count, horizon, 0))


@holds_for("schedule", [Random(), Sorted(), Stages([Stage(None, {0: 1.0, 1: 1.0, 2: 1.0})])])
def test_a_draw_in_the_middle_of_a_pass_looks_at_no_more_rows_of_a_million_than_it_draws(schedule):
    index = ladder_of(1_000_000)
    schedule.batch(DrawRequest(index, 0, 128, 1000, 0))  # sorts once

    def draw():
        schedule.batch(DrawRequest(index, 500, 128, 1000, 0))

    assert 128 < work(draw) < 20_000
    assert largest(draw) < 10_000


# Random


@few
@given(settings_of_a_run())
def test_random_repeats_no_row_in_a_pass_and_reaches_every_row(run):
    index, count, horizon, seed = run
    steps = len(index) // count
    reached = set()
    for number in range(64):
        rows = [
            row
            for step in range(number * steps, (number + 1) * steps)
            for row in Random().batch(DrawRequest(index, step, count, horizon, seed))
        ]
        assert len(set(rows)) == len(rows) == steps * count
        reached |= set(rows)
    assert reached == set(range(len(index)))


def test_random_passes_and_seeds_differ():
    index = ladder_of(60)
    draws = {
        tuple(Random().batch(DrawRequest(index, step, 60, 9, seed))) for step in range(4) for seed in range(4)
    }
    assert len(draws) == 16


# Sorted


@few
@given(settings_of_a_run())
def test_sorted_goes_from_easy_to_hard_in_passes_without_repeats_and_ends_at_the_hardest(run):
    index, count, horizon, seed = run
    place = {row: place for place, row in enumerate(index.easy_to_hard.tolist())}
    batches = [Sorted().batch(DrawRequest(index, step, count, horizon, seed)) for step in range(horizon)]
    passes = -(-horizon // (len(index) // count))
    for number in range(passes):
        in_pass = batches[number * horizon // passes : (number + 1) * horizon // passes]
        places = [place[row] for batch in in_pass for row in batch]
        assert places == sorted(set(places))  # in the ladder's order, no row twice
        means = [float(index.difficulty_R[batch].double().mean()) for batch in in_pass]
        assert means == sorted(means)
        last = (len(in_pass) - 1) * len(index) // len(in_pass)
        assert all(place[row] >= last for row in in_pass[-1])  # the last window reaches the end of the ladder


@few
@given(count=st.integers(1, 8), horizon=st.integers(1, 8), seed=st.integers(0, 9))
def test_sorted_is_the_sorted_file_when_the_horizon_is_one_pass(count, horizon, seed):
    index = ladder_of(count * horizon, seed)
    requests = [DrawRequest(index, step, count, horizon, seed) for step in range(horizon)]
    rows = [row for request in requests for row in Sorted().batch(request)]
    assert rows == index.easy_to_hard.tolist()
    back = [row for request in requests for row in Sorted(True).batch(request)]
    assert back == rows[::-1]


def test_sorted_ends_on_the_hardest_rows_also_when_passes_do_not_divide_the_horizon():
    index = LadderIndex(numpy.arange(8) / 8, numpy.zeros(8), numpy.zeros(8))
    batches = [
        Sorted().batch(DrawRequest(index, step, 2, horizon=10, seed=0)) for step in range(10)
    ]  # passes of 3, 3 and 4
    assert [batch[-1] >= 5 for batch in batches] == [step in (2, 5, 8, 9) for step in range(10)]
    assert batches[-1] == [6, 7]


def test_sorted_stays_on_its_last_window_beyond_the_horizon_with_fresh_draws():
    index = LadderIndex(numpy.arange(100) / 100, numpy.zeros(100), numpy.zeros(100))
    batches = [Sorted().batch(DrawRequest(index, step, 5, horizon=4, seed=0)) for step in range(3, 30)]
    assert all(row >= 75 for batch in batches for row in batch)
    assert len({tuple(batch) for batch in batches}) > 20
    assert {row for batch in batches for row in batch} == set(range(75, 100))


# Stages


@few
@given(settings_of_a_run(spare=5))
def test_stages_give_each_level_its_share_to_within_a_row_in_every_step(run):
    index, count, horizon, seed = run
    for step in range(6):
        stage = WARM.stages[0 if step < 3 else 1]
        drawn = Counter(index.level_R[WARM.batch(DrawRequest(index, step, count, horizon, seed))].tolist())
        due = stage.quotas(count)
        assert sum(due.values()) == count
        assert set(drawn) <= set(due)
        assert all(abs(drawn[level] - quota) < 1 for level, quota in due.items())


def test_shares_below_one_row_are_kept_over_the_steps():
    index = ladder_of(300)
    stages = Stages([Stage(None, {0: 0.9, 1: 0.1})])
    drawn = Counter(
        index.level_R[
            [row for t in range(200) for row in stages.batch(DrawRequest(index, t, 4, 1, 5))]
        ].tolist()
    )
    assert abs(drawn[1] - 80) <= 2
    assert drawn[0] + drawn[1] == 800


def test_shares_are_taken_as_they_are_written():
    assert Stage(None, {1: 0.7, 2: 0.2, 3: 0.1}).quotas(10) == {1: 7, 2: 2, 3: 1}
    assert Stage(None, {2: 1.0, 1: 2.0, 3: 0.0}).quotas(4) == {1: Fraction(8, 3), 2: Fraction(4, 3)}


@few
@given(settings_of_a_run(spare=5))
def test_stages_repeat_no_row_of_a_level_before_a_pass_over_it_is_used_up_even_across_stages(run):
    index, count, horizon, seed = run
    size = {level: len(rows) for level, rows in index.rows_by_level.items()}
    current: dict[int, set[int]] = {level: set() for level in size}
    for step in range(40):
        by_level: dict[int, set[int]] = {level: set() for level in size}
        for row in WARM.batch(DrawRequest(index, step, count, horizon, seed)):
            by_level[int(index.level_R[row])].add(row)
        for level, rows in by_level.items():
            if len(current[level]) + len(rows) > size[level]:  # too few rows are left: a new pass
                current[level] = set()
            assert not rows & current[level]
            current[level] |= rows


def test_rows_left_over_in_one_pass_over_a_level_are_drawn_in_others():
    index, stages = ladder_of(30), Stages([Stage(None, {1: 1.0})])
    # 7 of the level's 10 rows
    passes = [frozenset(stages.batch(DrawRequest(index, step, 7, 1, 0))) for step in range(20)]
    assert len(set(passes)) > 10
    assert set().union(*passes) == set(index.rows_by_level[1].tolist())


def test_a_stage_takes_over_after_its_steps():
    index = ladder_of(30)
    levels = [
        set(index.level_R[WARM.batch(DrawRequest(index, step, 10, 1, 0))].tolist()) for step in range(5)
    ]
    assert levels == [{0, 1}, {0, 1}, {0, 1}, {0, 1, 2}, {0, 1, 2}]


def test_levels_that_the_ladder_lacks_are_refused_and_the_existing_ones_listed():
    stages = Stages([Stage(2, {0: 1.0}), Stage(None, {0: 1.0, 7: 1.0})])
    with pytest.raises(RefusedError, match=r"stage 2 names the levels \[7\]; the ladder has \[0, 1, 2\]"):
        stages.batch(DrawRequest(ladder_of(12), 0, 2, 1, 0))


def test_a_level_with_too_few_rows_is_refused_before_its_stage_begins():
    stages = Stages([Stage(2, {0: 1.0, 1: 1.0}), Stage(None, {2: 1.0})])
    with pytest.raises(RefusedError, match="stage 2 draws up to 5 of 5 rows from level 2, which has 4"):
        stages.batch(DrawRequest(ladder_of(12), 0, 5, 1, 0))


@holds_for(
    "stages",
    [
        lambda: [],
        lambda: [Stage(5, {0: 1.0})],
        lambda: [Stage(None, {0: 1.0}), Stage(None, {0: 1.0})],
        lambda: [Stage(0, {0: 1.0}), Stage(None, {0: 1.0})],
        lambda: [Stage(None, {0: -1.0, 1: 2.0})],
        lambda: [Stage(None, {0: 0.0})],
        lambda: [Stage(None, {})],
        lambda: [Stage(None, {0: float("nan")})],
    ],
)
def test_impossible_stages_are_refused(stages):
    with pytest.raises(RefusedError, match="stage"):
        Stages(stages())


def test_schedules_are_parsed_from_yaml_by_their_short_names():
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_argument("--schedule", type=Schedule)
    text = (
        "{schedule: {class_path: Stages, init_args: {stages: "
        "[{steps: 100, levels: {1: 1, 2: 1}}, {steps: null, levels: {1: 2, 8: 0.5}}]}}}"
    )
    parsed = parser.parse_args(["--config", text])
    schedule = parser.instantiate(parsed).schedule
    assert schedule == Stages([Stage(100, {1: 1.0, 2: 1.0}), Stage(None, {1: 2.0, 8: 0.5})])
    again = parser.parse_args(["--config", parser.dump(parsed)])
    assert parser.instantiate(again).schedule == schedule
    sorted_ = parser.instantiate(parser.parse_args(["--schedule=Sorted", "--schedule.descending=true"]))
    assert sorted_.schedule == Sorted(descending=True)
    assert parser.instantiate(parser.parse_args(["--schedule=Random"])).schedule == Random()
