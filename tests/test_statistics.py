"""Intervals over seeds and problems, Holm, pass@k: as lmerTest has them, by hand, and from little data."""

import json
import math
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from documented import PAGES, blocks
from observer.statistics import Estimate, crossed, holm, holm_error, pass_at_k, seeds_to_resolve, student
from observer.statistics.holm import HOLM_ERRORS
from observer.types import RefusedError
from tables import holds_for

CASES = json.loads((Path(__file__).parent / "cases" / "crossed.json").read_text())["cases"]
"""What lmerTest found; ``cases/crossed.R`` makes the file."""
INFINITE = (-math.inf, math.inf)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@holds_for("case", CASES)
def test_mean_error_degrees_of_freedom_and_p_value_are_those_of_lmertest(case):
    estimate = crossed(case["values"])
    seeds, problems = np.shape(case["values"])
    assert (estimate.seeds, estimate.problems, estimate.clusters) == (seeds, problems, problems)
    assert estimate.mean == pytest.approx(case["estimate"], abs=1e-9)
    assert estimate.error == pytest.approx(case["error"], rel=1e-6)
    assert estimate.df == pytest.approx(case["df"], rel=1e-6)
    assert estimate.p_value() == pytest.approx(case["p"], rel=1e-6)
    components = [case[f"{name}_sd"] ** 2 for name in ("seed", "problem", "rest")]
    cell = components[2] / seeds / problems
    assert estimate.cell_variance == pytest.approx(cell, rel=1e-5)
    assert estimate.seed_variance == pytest.approx(components[0] / seeds + cell, rel=1e-5)
    assert estimate.problem_variance == pytest.approx(components[1] / problems + cell, rel=1e-5)


def test_lmertest_was_asked_about_shapes_of_both_kinds_of_outcome():
    assert len(CASES) >= 6
    assert sum(set(np.ravel(case["values"])) == {0, 1} for case in CASES) >= 2


def test_student_is_the_t_test():
    values = noise(7)
    estimate, expected = student(values), stats.ttest_1samp(values, 0)
    assert estimate.interval() == pytest.approx(tuple(expected.confidence_interval()))
    assert estimate.p_value() == pytest.approx(expected.pvalue)
    assert (estimate.df, estimate.seeds, estimate.problems) == (6, 7, 1)


def test_one_seed_is_the_t_test_over_problems_and_one_problem_that_over_seeds():
    values = noise(9)
    assert crossed([values]).interval() == pytest.approx(student(values).interval())
    assert (crossed([values]).seeds, crossed([values]).problems) == (1, 9)
    assert crossed(values[:, None]) == student(values)
    assert crossed(np.tile(values[:, None], 4), clusters_P="aaaa").interval() == pytest.approx(
        student(values).interval()
    )


def test_without_a_component_of_its_own_seeds_or_problems_leave_the_variance_of_the_other():
    values = noise(4, 20) + noise(4, 1, seed=1) + noise(20, seed=2)
    of_seeds, of_problems = student(values.mean(1)), student(values.mean(0))
    seeds_alone = crossed(values - values.mean(0))  # the problems' means are all 0
    assert (seeds_alone.variance, seeds_alone.df) == pytest.approx((of_seeds.variance, 3))
    problems_alone = crossed(values - values.mean(1, keepdims=True))
    assert (problems_alone.variance, problems_alone.df) == pytest.approx((of_problems.variance, 19))
    neither = crossed(values - values.mean(0) - values.mean(1, keepdims=True))
    assert neither.variance == neither.cell_variance > 0
    assert neither.df == 57


def test_problems_that_repeat_count_once():
    values = noise(5, 30)
    once = crossed(values)
    again = crossed(np.repeat(values, 3, axis=1), clusters_P=np.repeat(np.arange(30), 3))
    assert (again.mean, again.variance, again.df) == pytest.approx((once.mean, once.variance, once.df))
    assert (again.problems, again.clusters) == (90, 30)
    assert crossed(np.repeat(values, 3, axis=1)).variance < once.variance


def test_labels_are_of_any_kind_and_the_order_of_seeds_problems_and_labels_does_not_matter():
    values, labels = noise(4, 12), [*"aabbbcdefghh"]
    estimate = crossed(values, labels)
    order = np.random.default_rng(1).permutation(12)
    shuffled = crossed(values[::-1, order], [("label", labels[place]) for place in order])
    assert (shuffled.variance, shuffled.df) == pytest.approx((estimate.variance, estimate.df))
    assert estimate.effective_clusters == pytest.approx(144 / (4 + 9 + 4 + 5))


def test_without_clusters_each_problem_is_its_own():
    values = noise(3, 8)
    assert crossed(values, range(8)) == crossed(values)


def test_one_cluster_of_most_problems_widens_the_interval():
    values = noise(6, 40)
    lopsided = crossed(values, [0] * 37 + [1, 2, 3])
    assert lopsided.effective_clusters < 1.2
    assert lopsided.interval()[0] < crossed(values).interval()[0] - 1


@holds_for("shift", [0.0, 1e3, -1e6])
@holds_for("scale", [1e-6, 1.0, 1e6])
def test_intervals_move_and_stretch_with_the_values(shift, scale):
    values = noise(4, 9)
    plain, moved = crossed(values), crossed(values * scale + shift)
    assert moved.interval() == pytest.approx([end * scale + shift for end in plain.interval()], rel=1e-6)
    assert moved.df == pytest.approx(plain.df, rel=1e-3)


def test_the_p_value_is_below_where_the_interval_excludes_zero():
    for bounds in (None, (-3.0, 4.0)):
        estimate = crossed(np.clip(noise(4, 9) + 0.4, -3, 4), bounds=bounds)
        p = estimate.p_value()
        assert 1e-6 < p < 0.5
        assert estimate.interval(1 - p * 1.001)[0] > 0 > estimate.interval(1 - p * 0.999)[0]


def test_intervals_of_shares_stay_within_their_bounds_and_are_plain_in_the_middle():
    ceiling = np.ones((3, 50))
    ceiling[0, 0] = ceiling[1, :3] = 0
    assert crossed(ceiling).interval()[1] > 1
    low, high = crossed(ceiling, bounds=(0, 1)).interval()
    assert 0 < low < 2 * ceiling.mean() - high < high < 1
    middle = (noise(5, 400) > 0).astype(float)
    assert crossed(middle, bounds=(0, 1)).interval() == pytest.approx(crossed(middle).interval(), abs=1e-3)
    mirrored = crossed(1 - ceiling, bounds=(0, 1)).interval()
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_equal_outcomes_are_not_a_variance_of_zero():
    right = crossed(np.ones((3, 8)), bounds=(0, 1))
    exact = stats.binomtest(8, 8).proportion_ci(method="exact")
    assert right.constant
    assert right.interval() == pytest.approx((exact.low, 1))
    same = crossed(np.zeros((5, 500)), bounds=(-1, 1))
    assert same.interval() == pytest.approx((-0.00735, 0.00735), abs=1e-5)
    assert same.p_value() == 1
    assert same.equivalent(0.01)
    assert not crossed(np.zeros((5, 50)), bounds=(-1, 1)).equivalent(0.01)
    assert not crossed(np.zeros((5, 500)), clusters_P=[*range(50)] * 10, bounds=(-1, 1)).equivalent(0.01)
    better = crossed(np.ones((3, 8)), bounds=(-1, 1))  # a sign test over problems
    assert better.p_value() == pytest.approx(2 * 0.5**8)


@holds_for(
    "estimate",
    [
        crossed(np.full((3, 8), 0.1)),  # sums of tenths are rounded
        student([7.0, 7.0, 7.0]),
        student([7.0]),
        crossed([[0.3]]),
        crossed([[0.0, 1.0, 0.0, 1.0]], clusters_P="aabb"),  # within clusters alone
    ],
)
def test_where_nothing_is_known_of_the_spread_the_interval_is_the_whole_line(estimate):
    assert estimate.interval() == INFINITE
    assert estimate.p_value() == 1
    assert not estimate.equivalent(1e9)
    assert seeds_to_resolve(estimate, half_width=1.0) is None


def test_a_single_bounded_value_has_its_bounds_for_an_interval():
    assert crossed([[1.0]], bounds=(0, 1)).interval() == (0, 1)
    assert crossed([[1.0]], bounds=(0, 1)).variance == math.inf


def test_outcomes_may_be_bools():
    values = noise(3, 8) > 0
    assert crossed(values) == crossed(values.astype(float))


@holds_for(
    ("values", "told"),
    [
        ([], r"values_S_P has the shape \(0,\); it must have 2 dimensions, none of them empty"),
        ([[], []], r"shape \(2, 0\)"),
        ([1.0, 2.0], r"shape \(2,\); it must have 2 dimensions"),
        ([[1.0, 2.0], [1.0]], "all rows of the same length"),
        ([["a"]], "must be numbers"),
        ([[1.0, 2.0], [1.0, math.nan]], r"nan at \(1, 1\); leave out what one seed has no value for"),
        ([[1.0, None]], "nan at"),
        ([[1.0, math.inf]], r"inf at \(0, 1\)"),
    ],
)
def test_missing_cells_and_uneven_rows_are_refused(values, told):
    with pytest.raises(RefusedError, match=told):
        crossed(values)


def test_labels_and_bounds_that_do_not_fit_are_refused():
    with pytest.raises(RefusedError, match="2 labels; it must be one for each of the 3 problems"):
        crossed(np.ones((2, 3)), clusters_P="ab")
    for bounds in ((1, 0), (0.5, 1), (0, 0.5), (0, math.nan)):
        with pytest.raises(RefusedError, match=r"bounds is \(.*\); it must hold the values, 0 \.\. 1"):
            crossed([[0.0, 1.0]], bounds=bounds)
    with pytest.raises(RefusedError, match="values_S"):
        student([])


@holds_for("level", [0.0, 1.0, math.nan, 95])
def test_a_level_is_a_probability(level):
    with pytest.raises(RefusedError, match="level is"):
        student([1.0, 2.0]).interval(level)


def test_two_one_sided_tests_are_the_interval_of_ninety():
    values = noise(6) * 0.01
    estimate = student(values)
    p = max(
        stats.ttest_1samp(values, margin, alternative=side).pvalue
        for margin, side in ((-0.02, "greater"), (0.02, "less"))
    )
    assert estimate.equivalent(0.02, level=1 - p * 1.01)
    assert not estimate.equivalent(0.02, level=1 - p * 0.99)
    for margin in (0.0, -0.1, math.nan):
        with pytest.raises(RefusedError, match="margin is"):
            estimate.equivalent(margin)


def test_holm_by_hand_in_any_order_and_of_nothing():
    assert holm({}) == {}
    assert holm({"a": 0.04}) == {"a": 0.04}
    raised = holm({"d": 0.005, "b": 0.01, "a": 0.03, "c": 0.04})
    assert raised == pytest.approx({"d": 0.02, "b": 0.03, "a": 0.06, "c": 0.06})
    assert list(raised) == ["d", "b", "a", "c"]
    assert holm({"a": 0.6, "b": 0.5}) == {"a": 1, "b": 1}
    for value in (math.nan, -0.1, 1.1):
        with pytest.raises(RefusedError, match=r"p-value of b is"):
            holm({"a": 0.1, "b": value})


def test_the_error_of_holms_method_is_read_on_the_careful_side():
    assert holm_error(1, 4) == 1
    assert (
        holm_error(3, 3) == holm_error(3, 4) < holm_error(3, 5) < holm_error(3, 17) < holm_error(3, 1000) == 1
    )
    assert holm_error(7, 4) == holm_error(6, 4) >= holm_error(8, 4) >= holm_error(12, 4) == holm_error(50, 4)
    for given in ((0, 4), (3, 0)):
        with pytest.raises(RefusedError, match="it must be >= 1"):
            holm_error(*given)


def test_pass_at_k_is_the_share_of_choices_with_a_right_one():
    for samples in range(1, 7):
        for k in range(1, samples + 1):
            expected = [
                np.mean([min(choice) < right for choice in combinations(range(samples), k)])
                for right in range(samples + 1)
            ]
            assert pass_at_k(range(samples + 1), samples, k) == pytest.approx(expected, abs=1e-15)


def test_pass_at_k_of_many_samples():
    right = [0, 1, 17, 5000, 9999, 10_000]
    for k in (1, 100, 10_000):
        expected = [1 - math.comb(10_000 - c, k) / math.comb(10_000, k) for c in right]
        assert pass_at_k(right, 10_000, k) == pytest.approx(expected, rel=1e-11)


def test_pass_at_k_refuses_what_cannot_be_counted():
    for samples, k, told in ((4, 5, "k is 5"), (4, 0, "k is 0"), (0, 1, "samples is 0")):
        with pytest.raises(RefusedError, match=told):
            pass_at_k([1], samples, k)
    for correct in (-1, 5, 0.5):
        with pytest.raises(RefusedError, match="correct_P holds"):
            pass_at_k([1, correct], 4, 2)


def test_seeds_to_resolve_is_the_first_number_that_is_enough():
    estimate = student(noise(4))
    spread = estimate.error * 2
    needed = seeds_to_resolve(estimate, half_width=0.5)

    def half_width(seeds):
        return float(stats.t.ppf(0.975, seeds - 1)) * spread / math.sqrt(seeds)

    assert half_width(needed) <= 0.5 < half_width(needed - 1)
    assert seeds_to_resolve(estimate, half_width=1e6) == 2
    assert seeds_to_resolve(estimate, half_width=1e-9) is None


def test_an_effect_needs_more_seeds_than_an_interval_as_wide():
    estimate = student(noise(5))
    assert seeds_to_resolve(estimate, effect=0.4) > seeds_to_resolve(estimate, half_width=0.4)
    assert seeds_to_resolve(estimate, effect=-0.4) == seeds_to_resolve(estimate, effect=0.4)


def test_the_seeds_for_an_effect_are_those_of_the_power_of_a_t_test():
    of_ten = Estimate(0.0, 0.1, 9, seeds=10, problems=1, clusters=1, seed_variance=0.1)  # a spread of 1
    needed = seeds_to_resolve(of_ten, effect=0.5)

    def power(seeds):
        return stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, 0.5 * math.sqrt(seeds))

    assert power(needed - 1) < 0.8 <= power(needed)


def test_no_number_of_seeds_makes_up_for_few_problems():
    values = noise(6, 20) * 0.1 + noise(20, seed=1)
    assert seeds_to_resolve(crossed(values), half_width=0.27) is None
    assert seeds_to_resolve(crossed(values), half_width=0.29) is not None
    assert seeds_to_resolve(crossed(values[:1]), half_width=0.6) is None  # one seed: nothing known of others


def test_a_plan_asks_for_one_aim():
    estimate = student([1.0, 2.0])
    with pytest.raises(RefusedError, match="one of the two must be given"):
        seeds_to_resolve(estimate)
    with pytest.raises(RefusedError, match="one of the two must be given"):
        seeds_to_resolve(estimate, half_width=1.0, effect=1.0)
    for aim in ({"half_width": 0.0}, {"effect": 0.0}, {"half_width": math.nan}):
        with pytest.raises(RefusedError, match=r"(half_width|effect) is"):
            seeds_to_resolve(estimate, **aim)


def test_an_estimate_is_a_value():
    assert Estimate(0.0, 1.0, 2.0, 3, 1, 1) == Estimate(0.0, 1.0, 2.0, 3, 1, 1)
    assert student([1.0, 2.0, 4.0]).error == pytest.approx(stats.sem([1.0, 2.0, 4.0]))


def test_the_example_of_the_page_runs_and_its_table_is_the_one_of_the_code(capsys):
    (example,) = blocks("docs/statistics.md", "python")
    exec(compile(example, "docs/statistics.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"gain 0\.0\d\d, 0\.0\d\d to 0\.\d\d\d False", printed[0])
    assert printed[3] == "[0.   0.5  0.99]"
    rows = re.findall(r"^\| (\d+)((?: \| \d+ %){5}) \|$", PAGES["docs/statistics.md"], re.MULTILINE)
    table = {int(seeds): [int(cell) / 100 for cell in re.findall(r"\d+", row)] for seeds, row in rows}
    assert table == {seeds: list(row.values()) for seeds, row in HOLM_ERRORS.items()}
