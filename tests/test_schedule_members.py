"""What each schedule is for."""

import math

import numpy
import pytest
import torch

from drawing import COUNT, HORIZON, SEED, SIZE, ladder_of, request_of, run
from observer.curriculum import (
    AdaptiveTarget,
    AtMost,
    Gaussian,
    LadderIndex,
    Mixture,
    NeuraLadder,
    Part,
    PerSource,
    Random,
    SelfPaced,
    SourceUCB,
    Stage,
    Stages,
    VarianceDriven,
)
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES, PAPER_TABLE
from observer.seeding import stable_seed
from observer.types import RefusedError
from tables import holds_for

# NeuraLadder


def test_the_level_shares_of_every_slot_are_the_mixing_table_over_100000_draws():
    """The rows of a slot's steps; the steps that two slots share are left out."""
    count, horizon = 20_000, 1200
    index, schedule = ladder_of(450_000), NeuraLadder()
    table = numpy.array(PAPER_TABLE) / numpy.array(PAPER_TABLE).sum(axis=1, keepdims=True)
    ends = numpy.cumsum(PAPER_SHARES) * horizon
    for slot, end in enumerate(ends):
        first = math.ceil(end - PAPER_SHARES[slot] * horizon)
        steps = numpy.linspace(first, math.floor(end) - 1, 5).astype(int)
        rows = [row for step in steps for row in schedule.batch(request_of(index, int(step), count, horizon))]
        assert len(rows) == 100_000
        stages = {schedule.stage_name(request_of(index, int(step), horizon=horizon)) for step in steps}
        assert stages == {f"slot {slot + 1} of 9"}
        shares = torch.bincount(index.rung_of(rows, "both"), minlength=9) / len(rows)
        # Even of independent draws no share would vary by more: 6 standard deviations, at worst .5 / sqrt(n).
        assert numpy.abs(shares.numpy() - table[slot]).max() < 6 * 0.5 / 100_000**0.5


def test_mean_difficulty_and_complexity_rise_from_slot_to_slot():
    index, schedule, by_slot = ladder_of(18_000), NeuraLadder(), {}
    for step in range(300):
        by_slot.setdefault(schedule.stage_name(request_of(index, step, horizon=300)), []).extend(
            schedule.batch(request_of(index, step, 60, 300))
        )
    assert len(by_slot) == 9
    for column_R in (index.difficulty_R, index.complexity_R):
        means = [float(column_R[rows].mean()) for rows in by_slot.values()]
        assert means == sorted(means)


def test_slots_have_their_shares_of_the_horizon_and_the_last_one_stays():
    index = ladder_of(9000)
    stages = [NeuraLadder().stage_name(request_of(index, step, horizon=200)) for step in range(300)]
    lengths = [stages[:200].count(f"slot {slot} of 9") / 200 for slot in range(1, 10)]
    assert lengths == pytest.approx(PAPER_SHARES, abs=0.006)
    assert set(stages[200:]) == {"slot 9 of 9"}


def test_complexity_ascends_within_a_slot_and_no_row_of_it_comes_twice():
    index = LadderIndex([0.5] * 4000, numpy.random.default_rng(0).permutation(4000), [4] * 4000)
    batches = [NeuraLadder(slots="ladder").batch(request_of(index, step, 20, 100)) for step in range(100)]
    means = [float(index.complexity_R[rows].mean()) for rows in batches]
    assert means == sorted(means)
    assert max(index.complexity_R[batches[3]]) < min(index.complexity_R[batches[4]])
    assert len({row for rows in batches for row in rows}) == 2000
    alone = [
        NeuraLadder(slots="ladder", by="difficulty").batch(request_of(index, step, 20, 100))
        for step in range(100)
    ]
    means = [float(index.complexity_R[rows].mean()) for rows in alone]
    assert means != sorted(means)


def test_a_level_is_gone_through_before_a_row_of_it_comes_again_across_slots():
    index = ladder_of(900)
    seen: dict[int, set[int]] = {rung: set() for rung in range(9)}
    for step in range(HORIZON):
        drawn: dict[int, set[int]] = {rung: set() for rung in range(9)}
        for row in NeuraLadder().batch(request_of(index, step)):
            drawn[int(index.rung_of([row], "both"))].add(row)
        for rung, rows in drawn.items():
            if len(seen[rung]) + len(rows) > 100:
                seen[rung] = set()
            assert not rows & seen[rung]
            seen[rung] |= rows


def test_levels_without_rows_are_left_out():
    level_R = numpy.array([0, 1, 2, 3, 5, 6, 7, 7] * 50)  # as the tiles ladder
    index = LadderIndex(level_R / 8, level_R, level_R)
    batches = torch.tensor([NeuraLadder().batch(request_of(index, step, 8, 100)) for step in range(100)])
    means = [float(index.difficulty_R[batches[at : at + 20]].mean()) for at in range(0, 100, 20)]
    assert means == sorted(means)
    with_empty = NeuraLadder().mixing([1, 1, 1, 1, 0, 1, 1, 1, 0])
    assert with_empty.sum(axis=1) == pytest.approx(1)
    assert not with_empty[:, [4, 8]].any()


# the others


def test_the_gaussian_window_moves_from_the_easy_end_to_the_hard_end():
    index = ladder_of()
    schedule = Gaussian(beta=1.0)
    batches = torch.tensor([schedule.batch(request_of(index, step)) for step in range(HORIZON)])
    means = [float(index.difficulty_R[batches[at : at + 10]].mean()) for at in range(0, HORIZON, 10)]
    assert means == sorted(means)
    assert means[0] < 0.2
    assert means[-1] > 0.8
    shares = Gaussian(floor=0.1).shares(0, HORIZON + 5, HORIZON)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares.min() >= 0.1
    assert (shares[-1] == shares[HORIZON]).all()


@holds_for("by", ["difficulty", "both", "complexity"])
def test_the_adaptive_target_draws_the_nearest_rows_and_of_equals_the_least_visited(by):
    index = ladder_of()
    for start in (0.0, 0.3, 0.77, 1.0):
        schedule = AdaptiveTarget(start=start, by=by)
        values = (index.complexity_R if by == "complexity" else index.difficulty_R).double()
        scaled = (values - values.min()) / (values.max() - values.min()) if by == "complexity" else values
        away = (scaled - start).abs()
        rows = schedule.batch(request_of(index, 0, 150))
        assert away[rows].max() == pytest.approx(float(away.sort().values[149]), abs=1e-6)
    at_half = AdaptiveTarget(start=0.5, by="difficulty")  # 100 rows of this difficulty
    batches = [at_half.batch(request_of(index, 0, 50))]
    index.observe(batches[0], [0.5] * 50, 0)
    batches.append(at_half.batch(request_of(index, 1, 50)))
    assert set(index.difficulty_R[batches[0] + batches[1]].tolist()) == {0.5}
    assert len({*batches[0], *batches[1]}) == 100


def test_the_adaptive_target_rises_with_success_falls_with_failure_and_stays_within_the_ladder():
    schedule, index = AdaptiveTarget(), ladder_of()
    memory, targets = {}, []
    for rate in [1.0] * 4 + [0.0] * 4:
        memory = schedule.memory_after(request_of(index.with_memory(memory), 0), [0], [rate])
        targets.append(memory["target"])
    step = 0.5 * math.tanh(1.0)
    assert targets == pytest.approx([step, 2 * step, 1, 1, 1 - step, 1 - 2 * step, 0, 0])


def test_the_bandit_prefers_sources_that_teach_and_those_it_knows_little_of():
    index, schedule = ladder_of(), SourceUCB(temperature=0.1, window=40)
    for step in range(60):
        rows = schedule.batch(request_of(index, step))
        rates = [0.5 if int(index.source_R[row]) == 1 else 1.0 for row in rows]
        index.observe(rows, rates, step)
        index.memory = schedule.memory_after(request_of(index, step), rows, rates)
    drawn = index.memory["drawn"]
    assert drawn[1] > 5 * max(drawn[0], drawn[2])
    assert min(drawn.values()) > 0
    assert len(index.memory["recent"][1]) == 40


def test_the_shares_of_sources_are_a_softmax_at_the_temperature_of_the_paper():
    """A bound that is higher by .1 has e times the share: of 1,000 rows 731 and 269."""
    index = LadderIndex([0.5] * 2000, [1.0] * 2000, [0] * 2000, [0] * 1000 + [1] * 1000, ["one", "two"])
    recent = {0: torch.tensor([0.4]).double(), 1: torch.tensor([0.3]).double()}
    index.memory = {"drawn": {0: 50, 1: 50}, "recent": recent}
    rows = SourceUCB().batch(request_of(index, 0, 1000))
    assert abs(sum(row < 1000 for row in rows) - 1000 / (1 + math.exp(-1))) < 1


def test_a_source_that_is_too_small_gives_all_it_has():
    index = LadderIndex([0.5] * 20, [1.0] * 20, [0] * 20, [0] * 3 + [1] * 17, ["few", "many"])
    rows = SourceUCB().batch(request_of(index, 0, 18))
    assert {0, 1, 2} <= set(rows)


def test_rows_whose_rewards_vary_come_again_until_they_vary_no_more():
    index, schedule = ladder_of(), VarianceDriven(momentum=0.5, replay=0.5)
    rows = list(range(12))
    memory = schedule.memory_after(request_of(index.with_memory({}), 0), rows, [0.5] * 4 + [1.0] * 8)
    index.observe(rows, [0.5] * 4 + [1.0] * 8, 0)
    assert memory["rows"].tolist() == [0, 1, 2, 3]
    drawn = schedule.batch(request_of(index.with_memory(memory), 1))
    assert {0, 1, 2, 3} <= set(drawn)
    assert not set(drawn) & set(range(4, 12)), "others are new"
    for _ in range(2):
        memory = schedule.memory_after(request_of(index.with_memory(memory), 1), [0, 1, 2, 3], [1.0] * 4)
    assert memory["rows"].tolist() == []


def test_the_self_paced_go_up_after_success_and_down_after_failure_and_replay_what_was():
    index, schedule = ladder_of(), SelfPaced(patience=2, replay=0.25)

    def after(rate, steps):
        for step in range(steps):
            rows = schedule.batch(request_of(index, step))
            index.observe(rows, [rate] * COUNT, step)
            index.memory = schedule.memory_after(request_of(index, step), rows, [rate] * COUNT)
        drawn = schedule.batch(request_of(index, steps))
        rungs = torch.bincount(index.rung_of(drawn, "both"), minlength=9).tolist()
        return schedule.stage_name(request_of(index, 0)), rungs

    assert after(0.5, 5) == ("rung 1 of 9", [12, 0, 0, 0, 0, 0, 0, 0, 0])
    assert after(1.0, 2) == ("rung 2 of 9", [3, 9, 0, 0, 0, 0, 0, 0, 0])
    stage, rungs = after(1.0, 30)
    assert stage == "rung 9 of 9"
    assert rungs[8] == 9
    assert sum(rungs[:8]) == 3
    assert after(0.0, 2)[0] == "rung 8 of 9"


def test_a_mixture_keeps_the_shares_of_its_parts_and_their_memories_apart():
    easy = Part(Stages([Stage(None, {0: 1.0})]), 0.7)
    hard = Part(Stages([Stage(None, {8: 1.0})]), 0.3)
    index, schedule = ladder_of(), Mixture({"easy": easy, "hard": hard})
    levels = torch.cat([index.level_R[schedule.batch(request_of(index, step, 4))] for step in range(250)])
    assert abs(int((levels == 8).sum()) - 300) <= 1
    adaptive = Mixture({"one": Part(AdaptiveTarget(), 1), "two": Part(AdaptiveTarget(start=1.0), 1)})
    memory = adaptive.memory_after(request_of(index.with_memory({}), 0), [0], [0.5])
    assert memory == {"one": {"target": 0.0}, "two": {"target": 1.0}}


def test_no_row_is_visited_more_often_than_allowed_until_none_is_left():
    index, schedule = ladder_of(), AtMost(AdaptiveTarget(start=0.5, eta=1e-6), visits=1)
    steps = SIZE // COUNT
    run(schedule, index, 0, steps, horizon=steps)
    assert index.visits_R.unique().tolist() == [1], "every row comes as often as it may"
    with pytest.raises(RefusedError, match=r"AtMost.visits is 1: 0 rows are left that were visited less"):
        schedule.batch(request_of(index, steps, horizon=steps))


def test_a_row_that_has_its_visits_is_replaced_by_one_as_hard_and_then_by_the_nearest():
    index, schedule = ladder_of(), AtMost(Random(), visits=1)
    index.observe(range(SIZE // 2), [0.5] * (SIZE // 2), 0)
    plain, bounded = (one.batch(request_of(index, 1)) for one in (Random(), schedule))
    assert sum(row < SIZE // 2 for row in plain) > 2
    assert index.level_R[plain].tolist() == index.level_R[bounded].tolist()
    assert [row for row in plain if row >= SIZE // 2] == [
        new for old, new in zip(plain, bounded, strict=True) if old >= SIZE // 2
    ]
    spent = (index.level_R <= 5).nonzero()[:, 0].tolist()
    index.observe(spent, [0.5] * len(spent), 1)
    bounded = schedule.batch(request_of(index, 2))
    plain = Random().batch(request_of(index, 2))
    assert {
        int(index.level_R[new]) for old, new in zip(plain, bounded, strict=True) if index.level_R[old] <= 5
    } == {6}


def test_too_few_rows_for_the_run_are_refused_at_its_first_step():
    with pytest.raises(RefusedError, match="enough for 75 rollouts of 12 prompts, and there are 76"):
        AtMost(Random(), visits=1).batch(request_of(ladder_of(), 0, horizon=76))


def test_sources_keep_their_shares_and_the_schedule_goes_over_each_without_repeats():
    index, shares = ladder_of(), {"a": 3.0, "b": 1.0, "c": 1.0}
    batches = run(PerSource(Random(), shares), index, 0, 25)
    drawn = [row for rows in batches for row in rows]
    by_source = numpy.bincount(index.source_R[drawn].numpy(), minlength=3)
    assert by_source.tolist() == [180, 60, 60], "12 a step in 25 steps"
    for rows in batches:
        assert (
            numpy.abs(numpy.bincount(index.source_R[rows].numpy(), minlength=3) - [7.2, 2.4, 2.4]).max() < 1
        )
    of_a = [row for row in drawn if index.source_R[row] == 0]
    assert len(set(of_a)) == len(of_a), "180 of some 300 rows"


def test_within_a_source_the_schedule_draws_as_if_there_were_no_other():
    index = ladder_of()
    of_b = index.source_R == 1
    alone = LadderIndex(index.difficulty_R[of_b], index.complexity_R[of_b], index.level_R[of_b])
    among_others = run(PerSource(NeuraLadder(), {"b": 1.0}), index, 0, 20)
    own = run(NeuraLadder(), alone, 0, 20, seed=stable_seed(SEED, "b"))
    rows_of_b = of_b.nonzero()[:, 0]
    assert [sorted(rows) for rows in among_others] == [sorted(rows_of_b[rows].tolist()) for rows in own]


def test_a_source_that_is_not_there_or_too_small_is_told():
    with pytest.raises(RefusedError, match=r"PerSource.shares names 'd'; the ladder has rows of a, b, c"):
        PerSource(shares={"d": 1.0}).batch(request_of(ladder_of(), 0))
    small = LadderIndex([0.5] * 10, [1.0] * 10, [0] * 10, [0] * 9 + [1], ["large", "small"])
    rows = PerSource().batch(request_of(small, 0, 4))
    assert sorted(small.source_R[rows].tolist()) == [0, 0, 0, 1]
    with pytest.raises(RefusedError, match="the sources small have 1 rows, fewer than the 4 prompts"):
        PerSource(shares={"small": 1.0}).batch(request_of(small, 0, 4))


def test_stages_replay_what_earlier_stages_named():
    stages = Stages([Stage(5, {0: 1.0, 1: 1.0}), Stage(None, {2: 1.0, 1: 1.0})], replay=0.2)
    assert [dict(stages.quotas(number, 10)) for number in (0, 1)] == [{0: 5, 1: 5}, {0: 2, 1: 4, 2: 4}]
    names = [stages.stage_name(request_of(ladder_of(), step, horizon=9)) for step in (4, 5)]
    assert names == ["stage 1 of 2", "stage 2 of 2"]
