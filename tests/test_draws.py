"""The draws of a run, without a trainer and without rows: five verbs."""

import io

import pytest
import torch

from drawing import COUNT, SEED, SIZE, ladder_of, rates_of
from observer.curriculum import AdaptiveTarget, Draws, Mixture, Part, PerSource, Random, SelfPaced, Sorted
from observer.types import RefusedError
from tables import holds_for

SCHEDULES = [
    Random(),
    Sorted(),
    AdaptiveTarget(),
    PerSource(SelfPaced(patience=2)),
    Mixture({"target": Part(AdaptiveTarget(), 1), "random": Part(Random(), 1)}),
]


def draws_of(schedule=None, index=None, count=COUNT, horizon=12, seed=SEED, **in_common):
    index = ladder_of() if index is None else index
    draws = Draws(index, schedule or Random(), count, horizon, seed)
    draws.in_common = {"steps_per_epoch": 5, **in_common}
    return draws


def go_on(draws, until):
    """Draw and finish steps; return the batches."""
    batches = []
    while draws.step < until:
        batches.append(draws.draw(draws.step))
        draws.finish(batches[-1], rates_of(draws.step, batches[-1]))
    return batches


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_finishing_a_step_counts_it_and_keeps_what_it_showed():
    draws = draws_of(AdaptiveTarget())
    rows = draws.draw(0)
    assert (draws.step, draws.observed) == (0, ((), ()))
    draws.finish(rows, [0.5] * COUNT)
    assert (draws.step, draws.observed) == (1, (rows, [0.5] * COUNT))
    assert draws.index.seen[0].tolist() == sorted(rows)
    assert draws.index.memory.keys() == {"target"}


@holds_for("schedule", SCHEDULES)
@holds_for("stop", [1, 7])
def test_the_batches_after_resuming_are_those_of_the_unbroken_run(schedule, stop):
    whole, broken = draws_of(schedule), draws_of(schedule)
    batches = go_on(whole, 10)
    assert go_on(broken, stop) == batches[:stop]
    resumed = draws_of(schedule)
    assert resumed.load_state_dict(through_a_file(broken.state_dict())) == []
    assert go_on(resumed, 10) == batches[stop:]
    assert str(resumed.state_dict()) == str(whole.state_dict())


@holds_for("schedule", SCHEDULES)
def test_again_yields_rows_that_the_step_has_not_drawn_and_always_the_same(schedule):
    draws = draws_of(schedule)
    go_on(draws, 3)
    first, others = draws.draw(3), draws.again(3)
    batches = [next(others) for _ in range(4)]
    drawn = [row for batch in (first, *batches) for row in batch]
    assert len(drawn) == len(set(drawn)) > COUNT
    again = draws.again(3)
    assert [next(again) for _ in range(4)] == batches


def test_again_yields_nothing_once_every_row_was_drawn():
    draws = draws_of(Sorted(), index=ladder_of(2 * COUNT))
    others = draws.again(0)
    batches = [next(others) for _ in range(4)]
    assert sorted(draws.draw(0) + [row for batch in batches for row in batch]) == list(range(2 * COUNT))
    assert next(others) == []


def test_the_state_is_what_checkpoints_have_always_held():
    draws = draws_of(Sorted(), **{"first row": "a", "last row": "b"})
    state = draws.state_dict()
    assert state.keys() == {"step", "horizon", "ladder", "draws"}
    assert state["ladder"].keys() == {
        *("size", "rows", "visits", "pass_rate_sums", "last_pass_rates", "last_steps", "memory")
    }
    assert state["draws"] == {
        "seed": SEED,
        "prompts_per_step": COUNT,
        "steps_per_epoch": 5,
        "rows": SIZE,
        "ladder": draws.index.digest,
        "first row": "a",
        "last row": "b",
        "schedule": "Sorted(by='both', horizon=None, descending=False)",
    }


CHANGES = {
    "seed": {"seed": SEED + 1},
    "prompts_per_step": {"count": COUNT + 1},
    "rows": {"index": ladder_of(SIZE - 9)},
    "ladder": {"index": ladder_of(seed=1)},
    "first row": {"first row": "another"},
    "schedule": {"schedule": Sorted()},
    "steps_per_epoch": {"steps_per_epoch": 6},
}


@holds_for("name", CHANGES)
def test_other_draws_are_refused_with_both_values_and_leave_things_as_they_were(name):
    old = draws_of(AdaptiveTarget(), **{"first row": "a"})
    go_on(old, 3)
    new = draws_of(**{"schedule": AdaptiveTarget(), "first row": "a", **CHANGES[name]})
    before = str(new.state_dict())
    then, now = (draws.state_dict()["draws"][name] for draws in (old, new))
    with pytest.raises(RefusedError) as refused:
        new.load_state_dict(old.state_dict())
    assert f"drawn with {name} {then}, this run has {now}; resume with the conf" in str(refused.value)
    assert str(new.state_dict()) == before


@holds_for("name", [name for name in CHANGES if name != "steps_per_epoch"])
def test_other_draws_that_are_allowed_are_named_and_forget_what_no_longer_fits(name):
    old = draws_of(AdaptiveTarget(), **{"first row": "a"})
    go_on(old, 3)
    new = draws_of(**{"schedule": AdaptiveTarget(), "first row": "a", **CHANGES[name]})
    told = new.load_state_dict(old.state_dict(), allow_other_draws=True)
    assert any(sentence.startswith(f"draws differ from here on: {name} was ") for sentence in told)
    assert new.step == 3
    of_other_rows = name in ("rows", "ladder", "first row")
    assert (len(new.index.seen[0]) == 0) == of_other_rows
    assert (new.index.memory == {}) == (of_other_rows or name == "schedule")


def test_another_epoch_is_refused_even_when_other_draws_are_allowed():
    old, new = draws_of(), draws_of(steps_per_epoch=6)
    with pytest.raises(RefusedError, match=r"has 6; set data.steps_per_epoch to 5"):
        new.load_state_dict(old.state_dict(), allow_other_draws=True)


def test_a_run_that_is_made_longer_keeps_the_horizon_it_was_started_with():
    old, longer = draws_of(Sorted(), horizon=12), draws_of(Sorted(), horizon=40)
    go_on(old, 2)
    longer.load_state_dict(old.state_dict())
    assert (longer.step, longer.horizon) == (2, 12)
