import numpy
import pytest
import torch

from observer.curriculum import LadderIndex
from observer.types import RefusedError
from tables import holds_for


def ladder_of(size, seed=0):
    generator = numpy.random.default_rng(seed)
    level_R = generator.permutation(numpy.arange(size) % 3)
    return LadderIndex(level_R / 2, generator.integers(1, 5, size), level_R)


def test_rows_are_sorted_by_difficulty_then_complexity_then_row():
    index = LadderIndex(
        numpy.array([0.5, 0.5, 0.0, 0.5, 0.0]), [3, 2, 9, 2, 1], torch.tensor([1, 1, 0, 1, 0])
    )
    assert index.easy_to_hard.tolist() == [4, 2, 1, 3, 0]
    assert {level: rows.tolist() for level, rows in index.rows_by_level.items()} == {0: [2, 4], 1: [0, 1, 3]}
    assert index.order("complexity").tolist() == [4, 1, 3, 0, 2]
    assert index.order("difficulty").tolist() == [2, 4, 0, 1, 3]


def test_read_only_arrays_are_accepted_and_not_shared():
    difficulty = numpy.array([0.25, 0.5], dtype=numpy.float32)
    difficulty.flags.writeable = False
    index = LadderIndex(difficulty, difficulty, [0, 1])
    index.difficulty_R[0] = 1.0
    assert difficulty[0] == 0.25


def test_seen_holds_visits_and_mean_pass_rate_of_visited_rows_only():
    index = ladder_of(10)
    index.observe([7, 2], [0.5, 1.0], step=3)
    index.observe([7], [0.25], step=5)
    rows, visits, means = index.seen
    assert (rows.tolist(), visits.tolist(), means.tolist()) == ([2, 7], [1, 2], [1.0, 0.375])
    assert (index.last_pass_rate_R[7], index.last_step_R[7]) == (0.25, 5)
    assert (index.last_pass_rate_R[2], index.last_step_R[2]) == (1.0, 3)
    assert index.last_pass_rate_R[0].isnan()
    assert index.last_step_R[0] == -1


def test_the_state_is_of_builtins_and_tensors_of_the_visited_rows_and_comes_back(tmp_path):
    index = ladder_of(100)
    index.observe([99, 5, 40], [0.125, 0.5, 0.0], step=0)
    torch.save(index.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert {key: len(value) for key, value in state.items() if isinstance(value, torch.Tensor)} == {
        "rows": 3,
        "visits": 3,
        "pass_rate_sums": 3,
        "last_pass_rates": 3,
        "last_steps": 3,
    }
    other = ladder_of(100)
    other.observe([1], [1.0], step=0)
    other.load_state_dict(state)
    for run in (index, other):
        run.observe([5], [1.0], step=1)
    assert [part.tolist() for part in other.seen] == [part.tolist() for part in index.seen]
    assert other.seen[0].tolist() == [5, 40, 99]


def test_pass_rates_of_rows_beyond_the_ladder_are_refused_with_both_sizes():
    index = ladder_of(100)
    index.observe([70], [0.5], step=0)
    with pytest.raises(RefusedError, match=r"up to row 70 of a ladder of 100 rows, this ladder has 50"):
        ladder_of(50).load_state_dict(index.state_dict())
    grown = ladder_of(200)
    grown.load_state_dict(index.state_dict())
    assert grown.seen[0].tolist() == [70]


@holds_for(
    ("rows", "rates"),
    [([10], [0.5]), ([-1], [0.5]), ([0], [1.5]), ([0], [float("nan")]), ([0, 1], [0.5])],
)
def test_impossible_observations_are_refused_and_change_nothing(rows, rates):
    index = ladder_of(10)
    with pytest.raises(ValueError, match="row"):
        index.observe(rows, rates, step=0)
    assert len(index.seen[0]) == 0


def test_impossible_ladders_are_refused():
    with pytest.raises(RefusedError, match="difficulty of row 1 is nan"):
        LadderIndex([0.5, float("nan")], [1, 1], [0, 0])
    with pytest.raises(RefusedError, match="0 rows"):
        LadderIndex([], [], [])
    with pytest.raises(ValueError, match=r"\[2, 1, 2, 2\]"):
        LadderIndex([0.5, 0.5], [1], [0, 0])


# what else a schedule may ask


def test_rungs_are_difficulties_in_eighths_each_in_ascending_complexity():
    index = LadderIndex([1.0, 0.06, 0.07, 0.5, 0.0], [1, 2, 3, 4, 5], [0] * 5)
    rungs = {rung: rows.tolist() for rung, rows in enumerate(index.rungs("both")) if len(rows)}
    assert rungs == {0: [4, 1], 1: [2], 4: [3], 8: [0]}
    assert index.rung_of([0, 1, 2, 3, 4], "both").tolist() == [8, 0, 1, 4, 0]


def test_by_complexity_rungs_are_nine_parts_as_equal_as_ties_allow():
    index = LadderIndex([0.0] * 18, list(range(17, -1, -1)), [0] * 18)
    rungs = [rows.tolist() for rows in index.rungs("complexity")]
    assert rungs == [[17 - 2 * rung, 16 - 2 * rung] for rung in range(9)]
    for rung, rows in enumerate(rungs):
        assert index.rung_of(rows, "complexity").tolist() == [rung, rung]
    tied = LadderIndex([0.0] * 18, [1.0] * 9 + [2.0] * 9, [0] * 18)
    assert sorted(len(rows) for rows in tied.rungs("complexity"))[-2:] == [9, 9]
    assert tied.rung_of([0], "complexity") != tied.rung_of([9], "complexity")


def test_places_in_the_order_are_found_by_value():
    index = LadderIndex([0.5, 0.25, 0.5, 1.0], [4.0, 3.0, 2.0, 1.0], [0] * 4)
    assert [index.place("both", value) for value in (0.0, 0.25, 0.3, 0.5, 2.0)] == [0, 0, 1, 1, 4]
    assert index.place("both", 0.5, after=True) == 3
    assert index.place("complexity", 3.0) == 2


def test_rows_are_found_by_source_and_sources_are_part_of_the_digest():
    index = LadderIndex([0.5] * 4, [1] * 4, [0] * 4, [1, 0, 1, 1], ["charts", "maps"])
    assert {source: rows.tolist() for source, rows in index.rows_by_source.items()} == {0: [1], 1: [0, 2, 3]}
    alone = LadderIndex([0.5] * 4, [1] * 4, [0] * 4)
    assert alone.rows_by_source[0].tolist() == [0, 1, 2, 3]
    assert alone.sources == ("all",)
    assert index.digest != alone.digest
    with pytest.raises(RefusedError, match=r"sources 0 \.\. 2, and 2 have a name"):
        LadderIndex([0.5] * 2, [1] * 2, [0] * 2, [0, 2], ["charts", "maps"])


def test_ten_million_rows_would_take_at_most_300_megabytes_with_one_order_and_many_sources():
    size = 10_000
    index = LadderIndex(torch.rand(size), torch.rand(size), torch.arange(size) % 9)
    index.easy_to_hard, index.rungs("both")
    assert index.nbytes / size <= 30
    assert (index.visits_R.dtype, index.last_step_R.dtype, index.level_R.dtype) == (
        torch.int32,
        torch.int32,
        torch.uint8,
    )


def test_levels_of_any_size_are_kept():
    for levels in ([0, 255], [0, 256], [-1, 3], [0, 2**31 - 1]):
        assert LadderIndex([0.5] * 2, [1] * 2, levels).level_R.tolist() == levels


# what is remembered


def test_memory_is_saved_and_comes_back(tmp_path):
    index = ladder_of(10)
    index.memory = {"target": 0.25, "bank": torch.tensor([3, 1]), "recent": [0.5, 1.0], 3: {"deep": None}}
    torch.save(index.state_dict(), tmp_path / "state.pt")
    other = ladder_of(10)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert str(other.memory) == str(index.memory)


@holds_for("memory", [{"at": {"a": object()}}, {"at": numpy.float64(1.0)}, {"at": [1, {2}]}])
def test_memory_that_no_checkpoint_could_hold_is_refused(memory):
    index = ladder_of(10)
    with pytest.raises(
        RefusedError, match=r"a schedule remembers a \w+ as memory\['at'\].*builtins and tensors"
    ):
        index.memory = memory


def test_another_view_shares_the_rows_and_their_orders_but_not_the_memory():
    index = ladder_of(10)
    view = index.with_memory({"a": 1})
    order = view.easy_to_hard
    assert index.easy_to_hard is order
    assert index.memory == {}
    index.observe([3], [0.5], step=0)
    assert view.seen[0].tolist() == [3]


# how hard rows are by now


def test_difficulty_is_estimated_anew_from_the_pass_rates_of_visits():
    index = LadderIndex([0.5, 0.25, 1.0], [1, 1, 1], [0, 0, 0])
    index.observe([0, 2], [1.0, 0.25], step=0)
    index.observe([0], [0.75], step=1)
    estimates = index.estimates()
    assert estimates.rows_N.tolist() == [0, 2]
    assert estimates.prior_N.tolist() == [0.5, 1.0]
    assert estimates.visits_N.tolist() == [2, 1]
    assert estimates.difficulty_N.tolist() == [(0.5 + 0.0 + 0.25) / 3, (1.0 + 0.75) / 2]
    assert index.estimates(prior_visits=0).difficulty_N.tolist() == [0.125, 0.75]
    with pytest.raises(RefusedError, match="prior_visits is -1"):
        index.estimates(prior_visits=-1)
