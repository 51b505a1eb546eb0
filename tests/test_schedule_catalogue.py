"""What every schedule promises."""

import copy
import math
from itertools import pairwise

import pytest
import torch

from drawing import COUNT, HORIZON, SEED, SIZE, ladder_of, rates_of, request_of, run
from observer.curriculum import (
    AdaptiveTarget,
    AtMost,
    DrawRequest,
    Gaussian,
    Mixture,
    NeuraLadder,
    Part,
    PerSource,
    Random,
    SelfPaced,
    Shuffled,
    Sorted,
    SourceUCB,
    Stage,
    Stages,
    VarianceDriven,
)
from observer.strategies import members
from observer.types import RefusedError
from tables import holds_for

CATALOGUE = [
    Random(),
    Sorted(),
    Sorted(descending=True, by="complexity"),
    Stages([Stage(9, {0: 1.0, 1: 2.0}), Stage(9, {4: 1.0}), Stage(None, {8: 1.0})], replay=0.25),
    NeuraLadder(),
    NeuraLadder(by="difficulty"),
    NeuraLadder(by="complexity", table="even", window=3, own=0.5, slots="ladder"),
    Gaussian(),
    Gaussian(by="complexity", tasks=4, beta=1.0, floor=0.05),
    AdaptiveTarget(),
    AdaptiveTarget(by="difficulty", start=0.5, eta=0.1),
    AdaptiveTarget(by="complexity", start=0.3),
    SourceUCB(window=30),
    VarianceDriven(capacity=20, momentum=0.5),
    SelfPaced(patience=2, promote=0.6, demote=0.4),
    SelfPaced(by="difficulty", patience=1, promote=0.51, demote=0.5, replay=0.0),
    Mixture({"ladder": Part(NeuraLadder(), 0.8), "random": Part(Random(), 0.2)}),
    Mixture({"paced": Part(SelfPaced(patience=2), 1), "target": Part(AdaptiveTarget(), 1)}, horizon=30),
    AtMost(AdaptiveTarget(start=0.5), visits=2),
    AtMost(NeuraLadder(), visits=2),
    PerSource(),
    PerSource(SelfPaced(patience=2), {"a": 2.0, "c": 1.0}),
    PerSource(Sorted()),
    Shuffled(NeuraLadder()),
    Shuffled(AtMost(Random(), visits=2), unit="batch"),
    PerSource(Shuffled(Sorted())),
]
every = holds_for("schedule", CATALOGUE)


# every schedule


def test_the_catalogue_is_complete():
    built_in = {
        name for name, cls in members("schedule").items() if cls.__module__.startswith("observer.curriculum.")
    }
    assert {type(schedule).__name__ for schedule in CATALOGUE} == built_in


@every
def test_a_draw_is_of_distinct_rows_of_the_ladder_before_and_beyond_the_horizon(schedule):
    for rows in run(schedule, ladder_of(), 0, HORIZON + 20):
        assert len(rows) == len(set(rows)) == COUNT
        assert all(type(row) is int and 0 <= row < SIZE for row in rows)


@every
def test_a_draw_depends_on_its_arguments_and_on_no_other_draw(schedule):
    index = ladder_of()
    run(schedule, index, 0, 11)
    rows = schedule.batch(request_of(index, 11))
    for other in (3, 60, 11, 0):  # other steps and seeds leave no trace
        schedule.batch(DrawRequest(index, other, COUNT, HORIZON, SEED + 1))
    assert schedule.batch(request_of(index, 11)) == rows
    assert copy.deepcopy(schedule).batch(request_of(index, 11)) == rows


@every
def test_a_draw_changes_neither_ladder_nor_memory_and_remembering_changes_no_argument(schedule):
    index = ladder_of()
    run(schedule, index, 0, 5)
    before = copy.deepcopy(index.state_dict())
    rows = schedule.batch(request_of(index, 5))
    schedule.memory_after(request_of(index, 5), rows, rates_of(5, rows))
    schedule.stage_name(request_of(index, 5))
    assert str(index.state_dict()) == str(before)


@pytest.mark.whole
@every
def test_a_run_resumed_through_its_saved_state_draws_what_the_unbroken_one_does(schedule, tmp_path):
    whole, batches, stops = ladder_of(), [], [1, 17, 59, 63]
    for start, stop in pairwise([0, *stops, 70]):
        batches += run(schedule, whole, start, stop)
        torch.save(whole.state_dict(), tmp_path / f"{stop}.pt")
    for stop, following in pairwise([*stops, 70]):  # equal up to the next state, and so up to the end
        again, state = ladder_of(), torch.load(tmp_path / f"{following}.pt", weights_only=True)
        again.load_state_dict(torch.load(tmp_path / f"{stop}.pt", weights_only=True))
        assert run(schedule, again, stop, following) == batches[stop:following], stop
        assert str(again.state_dict()) == str(state), stop


@every
def test_two_ranks_draw_the_same(schedule):
    ranks = [ladder_of(), ladder_of()]
    assert run(schedule, ranks[0], 0, 25) == run(schedule, ranks[1], 0, 25)
    assert str(ranks[0].memory) == str(ranks[1].memory)


@every
def test_seeds_differ_where_chance_has_a_say(schedule):
    def draws(seed):
        return run(schedule, ladder_of(), 0, 20, seed=seed)

    drawn_by = schedule.schedule if isinstance(schedule, AtMost) else schedule
    by_rule = isinstance(drawn_by, AdaptiveTarget) and drawn_by.by == "both"
    by_rule |= isinstance(schedule, SelfPaced) and schedule.by == "both"
    assert (len({str(draws(seed)) for seed in range(3)}) > 1) or by_rule


@every
def test_its_own_horizon_comes_before_that_of_the_run(schedule):
    short = copy.deepcopy(schedule)
    object.__setattr__(short, "horizon", 5)
    assert run(short, ladder_of(), 0, 9, horizon=1000) == run(schedule, ladder_of(), 0, 9, horizon=5) or (
        schedule.horizon
    )


@every
def test_a_step_that_showed_nothing_is_no_fault(schedule):
    index = ladder_of()
    index.memory = schedule.memory_after(request_of(index, 0), [], [])
    assert len(schedule.batch(request_of(index, 1))) == COUNT


@every
def test_a_stage_has_a_name_or_there_is_none(schedule):
    index = ladder_of()
    staged = schedule.schedule if isinstance(schedule, PerSource) else schedule
    names = {str(schedule.stage_name(request_of(index, step))) for step in range(0, 70, 5)}
    assert ("None" in names) == (len(names) == 1 and not isinstance(staged, SelfPaced | Mixture))


@holds_for(
    ("make", "message"),
    [
        (
            lambda: Random(by="length"),
            "Random.by is 'length'; it must be one of difficulty, complexity, both",
        ),
        (lambda: Sorted(horizon=0), "Sorted.horizon is 0; it must be >= 1, or null"),
        (lambda: Stages([Stage(None, {0: 1.0})], replay=1.0), "Stages.replay is 1.0; it must be 0 .. 0.9"),
        (lambda: NeuraLadder(table="mine"), "NeuraLadder.table is 'mine'; it must be one of paper, even"),
        (lambda: NeuraLadder(slots="mine"), "NeuraLadder.slots is 'mine'"),
        (lambda: NeuraLadder(table="even", window=4), "NeuraLadder.window is 4; it must be an odd number"),
        (
            lambda: NeuraLadder(window=3),
            "NeuraLadder.window is 3; the paper's table has 5, set table to even",
        ),
        (lambda: NeuraLadder(own=1.5), "NeuraLadder.own is 1.5"),
        (lambda: Gaussian(tasks=1), "Gaussian.tasks is 1; it must be >= 2"),
        (lambda: Gaussian(floor=0.2), "Gaussian.floor is 0.2; it must be 0 .. 0.125"),
        (lambda: Gaussian(sigma=0.0), "Gaussian.sigma is 0.0"),
        (lambda: AdaptiveTarget(beta=1.5), "AdaptiveTarget.beta is 1.5; it must be 0 .. 1"),
        (lambda: AdaptiveTarget(eta=math.nan), "AdaptiveTarget.eta is nan"),
        (lambda: SourceUCB(temperature=0.0), "SourceUCB.temperature is 0.0"),
        (lambda: VarianceDriven(threshold=0.0), "VarianceDriven.threshold is 0.0"),
        (lambda: SelfPaced(promote=0.2, demote=0.5), "SelfPaced.demote is 0.5 and SelfPaced.promote 0.2"),
        (lambda: Mixture({}), "Mixture.parts is empty"),
        (lambda: Part(Random(), 0.0), "Part.share is 0.0"),
        (lambda: Shuffled(Random(), "rows"), "Shuffled.unit is 'rows'; it must be one of row, batch"),
        (lambda: AtMost(Random(), visits=0), "AtMost.visits is 0; it must be >= 1"),
        (lambda: PerSource(shares={}), "PerSource.shares is {}; name sources"),
        (lambda: PerSource(shares={"a": math.nan}), "PerSource.shares is {'a': nan}"),
    ],
)
def test_impossible_parameters_are_refused_with_class_name_and_value(make, message):
    with pytest.raises(RefusedError) as caught:
        make()
    assert message in str(caught.value)


@holds_for("schedule", [NeuraLadder(), Gaussian()])
def test_a_part_of_the_ladder_that_is_too_small_is_refused_at_the_first_draw(schedule):
    with pytest.raises(RefusedError, match=r"draws up to \d+ of 40 rows from .* which has"):
        schedule.batch(request_of(ladder_of(90), 0, 40))
