"""``Shuffled``: the rows of another schedule, as often as it draws them, in random order."""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import numpy
import pytest
import torch

from drawing import COUNT, HORIZON, SEED, ladder_of, request_of, run
from observer.cli import main
from observer.curriculum import (
    AdaptiveTarget,
    AtMost,
    DrawRequest,
    Draws,
    Gaussian,
    Mixture,
    NeuraLadder,
    Part,
    PerSource,
    Random,
    Schedule,
    SelfPaced,
    Shuffled,
    Sorted,
    SourceUCB,
    Stage,
    Stages,
    VarianceDriven,
)
from observer.curriculum.schedules.shuffled import dealt_anew
from observer.types import RefusedError
from tables import holds_for

MIXED = Mixture({"ladder": Part(NeuraLadder(), 0.8), "random": Part(Random(), 0.2)})
BY_STEP = [
    Random(),
    Sorted(),
    Stages([Stage(9, {0: 1.0}), Stage(None, {8: 1.0, 0: 1.0})]),
    NeuraLadder(),
    NeuraLadder(horizon=20),
    Gaussian(),
    MIXED,
    PerSource(MIXED, {"a": 2.0, "b": 1.0}),
    AtMost(NeuraLadder(), visits=1),
    PerSource(AtMost(Sorted(), visits=2)),
    Shuffled(NeuraLadder()),
]
"""Schedules that go by step and seed, and by their own visits, alone."""


def counted(batches):
    return Counter(row for rows in batches for row in rows)


@pytest.mark.whole
@holds_for("schedule", BY_STEP)
def test_each_block_has_the_rows_of_the_schedule_as_often_as_it_draws_them(schedule):
    blocks = 1 if isinstance(schedule, AtMost) else 2
    plain = run(schedule, ladder_of(), 0, blocks * HORIZON)
    by_row, by_batch = (
        run(Shuffled(schedule, unit), ladder_of(), 0, blocks * HORIZON) for unit in ("row", "batch")
    )
    for begin in range(0, blocks * HORIZON, HORIZON):
        block = slice(begin, begin + HORIZON)
        assert counted(by_row[block]) == counted(by_batch[block]) == counted(plain[block])
        assert sorted(by_batch[block]) == sorted(plain[block])
        assert sorted(map(sorted, by_row[block])) != sorted(map(sorted, plain[block]))
        assert by_batch[block] != plain[block]


def test_the_order_is_gone_and_the_composition_is_kept():
    index, steps = ladder_of(9000), 300

    def rise(schedule):
        """The correlation of step and difficulty, and the shares of the rungs."""
        batches = [schedule.batch(request_of(index, step, 20, steps)) for step in range(steps)]
        means = index.difficulty_R[torch.tensor(batches)].mean(1)
        rungs = torch.bincount(index.rung_of([row for rows in batches for row in rows], "both"), minlength=9)
        return numpy.corrcoef(numpy.arange(steps), means)[0, 1], rungs.tolist()

    (ladder, shares), *others = map(
        rise, (NeuraLadder(), Shuffled(NeuraLadder()), Shuffled(NeuraLadder(), "batch"))
    )
    assert ladder > 0.9
    for correlation, rungs in others:
        assert abs(correlation) < 4 / steps**0.5, "four standard deviations of no correlation"
        assert rungs == shares
    assert abs(rise(Random())[0]) < 4 / steps**0.5
    assert rise(Random())[1] != shares


@holds_for(("size", "count"), [(12, 12), (13, 12), (24, 12)])
def test_rows_that_every_batch_needs_are_in_every_batch(size, count):
    plain, shuffled = (
        run(schedule, ladder_of(size), 0, 30, count, 30) for schedule in (Random(), Shuffled(Random()))
    )
    assert counted(shuffled) == counted(plain)


def test_where_a_row_goes_and_beside_which_does_not_depend_on_where_it_was():
    steps, count, parts = 512, 16, 8
    dealt_T_N = dealt_anew(torch.arange(steps * count).view(steps, count), seed=3)
    before_T_N = dealt_T_N // count
    after_T_N = torch.arange(steps)[:, None].expand(steps, count)
    table = torch.zeros(parts, parts)
    cells = [part_T_N.flatten() * parts // steps for part_T_N in (before_T_N, after_T_N)]
    table.index_put_(tuple(cells), torch.ones(steps * count), accumulate=True)
    expected = steps * count / parts**2
    assert (table - expected).abs().max() < 5 * expected**0.5
    again = sum(math.comb(many, 2) for rows in before_T_N.tolist() for many in Counter(rows).values())
    expected = steps * math.comb(count, 2) * (count - 1) / (steps * count - 1)
    assert abs(again - expected) < 5 * expected**0.5, "pairs that were together and are"


def test_each_valid_deal_is_as_likely():
    seeds, batches_T_N = 300, torch.tensor([[0, 1], [0, 2]])
    deals = Counter(str(dealt_anew(batches_T_N, seed).sort(1).values.tolist()) for seed in range(seeds))
    assert set(deals) == {"[[0, 1], [0, 2]]", "[[0, 2], [0, 1]]"}
    assert abs(deals["[[0, 1], [0, 2]]"] - seeds / 2) < 5 * (seeds / 4) ** 0.5


@dataclass(frozen=True)
class Reads(Schedule):
    """Reads something of the index from the third step on, without having said so."""

    what: object = None

    def draw(self, request):
        if request.step >= 2:
            self.what(request.index)
        return range(request.count)


@holds_for(
    ("schedule", "goes_by"),
    [
        (AdaptiveTarget(), "what it remembers"),
        (SelfPaced(), "what it remembers"),
        (SourceUCB(), "what it remembers"),
        (VarianceDriven(), "what it remembers"),
        (AtMost(AdaptiveTarget(), visits=9), "what it remembers"),
        (PerSource(AdaptiveTarget()), "what it remembers"),
        (PerSource(Mixture({"one": Part(SelfPaced(), 1.0)})), "what it remembers"),
        (Reads(what=lambda index: index.last_pass_rate_R), "the pass rates"),
        (Reads(what=lambda index: index.estimates()), "the pass rates"),
        (Reads(what=lambda index: dict(index.memory)), "what it remembers"),
        (Reads(what=lambda index: index.memory.get("known", 0)), "what it remembers"),
        (Reads(what=lambda index: bool(index.memory)), "what it remembers"),
        (PerSource(Reads(what=lambda index: index.last_pass_rate_R)), "the pass rates"),
    ],
)
def test_a_schedule_that_adapts_is_refused_at_the_first_draw(schedule, goes_by):
    with pytest.raises(RefusedError) as caught:
        Shuffled(schedule).batch(request_of(ladder_of(), 0))
    assert f"Shuffled.schedule is {type(schedule).__name__}(" in str(caught.value)
    assert f"which goes by {goes_by} of the run: its rows are not known before it has run" in str(
        caught.value
    )
    assert "name a schedule that goes by the step alone" in str(caught.value)


@dataclass(frozen=True)
class Noting(Schedule):
    """Random order; notes its draws, and remembers, but goes by nothing of it."""

    drawn: list = field(default_factory=list)

    def draw(self, request):
        self.drawn.append((request.step, request.seed))
        return Random().batch(request)

    def remember(self, request, rows, pass_rates):
        return {"last": [*rows]}


def test_all_draws_of_a_horizon_are_made_once():
    noting, index = Noting(), ladder_of()
    shuffled = Shuffled(noting)
    first = run(shuffled, index, 0, HORIZON)
    assert noting.drawn == [(step, SEED) for step in range(HORIZON)]
    for _ in range(2):  # what the run has shown since changes nothing
        assert [shuffled.batch(request_of(index.with_memory({}), step)) for step in range(HORIZON)] == first
    assert len(noting.drawn) == HORIZON
    shuffled.batch(request_of(index, HORIZON))
    assert noting.drawn[HORIZON:] == [(step, SEED) for step in range(HORIZON, 2 * HORIZON)]
    for seed in range(20):  # many others, and back: only the last ones are kept
        shuffled.batch(request_of(index, 0, seed=seed))
    assert [shuffled.batch(request_of(index, step)) for step in range(HORIZON)] == first


def test_a_schedule_that_is_shuffled_twice_is_refused_by_its_own_name():
    with pytest.raises(RefusedError, match=r"Shuffled.schedule is AdaptiveTarget\("):
        Shuffled(Shuffled(AdaptiveTarget())).batch(request_of(ladder_of(), 0))


def test_a_schedule_that_cannot_draw_for_the_whole_horizon_is_refused_at_the_first_draw():
    with pytest.raises(RefusedError, match="enough for 75 rollouts of 12 prompts, and there are 76"):
        Shuffled(AtMost(Random(), visits=1)).batch(request_of(ladder_of(), 0, horizon=76))


def test_a_bound_on_visits_holds_within_and_around():
    steps = 900 // COUNT
    for schedule in (AtMost(Shuffled(NeuraLadder()), visits=1), Shuffled(AtMost(NeuraLadder(), visits=1))):
        assert set(counted(run(schedule, ladder_of(), 0, steps, horizon=steps)).values()) == {1}


@holds_for("unit", ["row", "batch"])
def test_what_dynamic_sampling_draws_again_is_new_and_of_the_same_composition(unit):
    index = ladder_of(9000)
    draws = Draws(index, Shuffled(Stages([Stage(None, {2: 1.0, 7: 1.0})]), unit), COUNT, HORIZON, SEED)
    for step in (0, 9):
        rounds = list(islice(draws.again(step), 4))
        rows = [*draws.draw(step), *(row for fresh in rounds for row in fresh)]
        assert len(rows) == len(set(rows)) > 4 * COUNT
        assert set(index.level_R[rows].tolist()) == {2, 7}
        assert list(islice(draws.again(step), 4)) == rounds


CONFIG = ["--config", "configs/quickstart.yaml", "--data.train.rows", "512", "--trainer.max_steps", "10"]
NESTED = """
curriculum:
  schedule:
    class_path: Shuffled
    init_args: {unit: batch, schedule: {class_path: NeuraLadder}}
"""


def test_it_is_written_in_a_file_and_on_the_command_line_and_previewed(tmp_path, capsys):
    written = tmp_path / "shuffled.yaml"
    written.write_text(NESTED)
    preview = ["curriculum", "preview", *CONFIG, "--output", str(tmp_path / "preview.png")]
    assert main([*preview, "--config", str(written)]) == 0
    assert "unit='batch'" in " ".join(capsys.readouterr().out.split())
    inner = ["--curriculum.schedule", "Shuffled", "--curriculum.schedule.schedule"]
    assert main([*preview, *inner, "NeuraLadder"]) == 0
    assert "480 draws of " in " ".join(capsys.readouterr().out.split())
    assert main([*preview, *inner, "SelfPaced"]) == 2
    assert "refused: Shuffled.schedule is SelfPaced(" in capsys.readouterr().err


def test_without_a_horizon_longer_than_a_step_there_is_nothing_to_shuffle():
    one = [sorted(Shuffled(Sorted(), horizon=1).batch(request_of(ladder_of(), step))) for step in range(5)]
    assert one == [sorted(Sorted(horizon=1).batch(request_of(ladder_of(), step))) for step in range(5)]


def test_a_request_may_be_of_any_step_first():
    late, early = ladder_of(), ladder_of()
    request = DrawRequest(late, HORIZON + 3, COUNT, HORIZON, SEED)
    run(Shuffled(NeuraLadder()), early, 0, HORIZON + 3)
    assert Shuffled(NeuraLadder()).batch(request) == Shuffled(NeuraLadder()).batch(
        request_of(early, HORIZON + 3)
    )
