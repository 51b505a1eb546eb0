"""Each alarm is raised on a series that goes wrong, at the right step, and not on its healthy neighbour."""

import inspect
import json
from pathlib import Path

import pytest

from observer.callbacks import Alarms
from observer.callbacks.alarms import NAMES
from observer.metrics.alarms import FIGURES, RULES, Validation, alarms, held_out_falling, unsolved
from observer.metrics.mismatch_alarm import FIGURE
from observer.types import RefusedError
from tables import holds_for

WINDOW = 10
HEALTHY = {
    "zero_signal": 0.4,
    "accuracy": 0.5,
    "truncated": 0.05,
    "length": 300.0,
    "entropy": 0.4,
    "sampler_gap": 0.01,
    "format": 0.9,
    "unverifiable": 0.0,
    "timed_out": 0.0,
    "kl": 0.02,
    "gradient_norm": 0.3,
    "reward": 1.0,
    "identical": 0.1,
    "wasted": 0.0,
}
"""Figures of a step with which nothing is wrong."""


def series(steps, change_at=0, **then):
    """So many healthy steps; from ``change_at`` on with other figures, None for a figure that is missing."""
    made = []
    for step in range(steps):
        figures = HEALTHY | (then if step >= change_at else {})
        made.append({name: value for name, value in figures.items() if value is not None} | {"step": step})
    return made


def thresholds(**other):
    return Alarms(**other).thresholds


def raised(steps, window=WINDOW, **options):
    """Name -> the steps at the end of which it is raised, and the first alarm of that name."""
    found, told = {}, {}
    for end in range(1, len(steps) + 1):
        first = steps[: min(end, window)]
        for alarm in alarms(first, steps[max(0, end - 40) : end], window, thresholds(**options)):
            found.setdefault(alarm.name, []).append(end - 1)
            told.setdefault(alarm.name, alarm)
    return found, told


WRONG = {
    "silent_groups": ({"zero_signal": 0.95}, {"zero_signal": 0.88}),
    "identical": ({"identical": 1.0}, {"identical": 0.85}),
    "truncated": ({"truncated": 0.6}, {"truncated": 0.24}),
    "truncation_rising": ({"truncated": 0.3}, {"truncated": 0.2}),
    "length_collapse": ({"length": 100.0}, {"length": 100.0, "accuracy": 0.7}),
    "entropy_collapse": ({"entropy": 0.01}, {"entropy": 0.1}),
    "sampler_gap": ({"sampler_gap": 0.3}, {"sampler_gap": 0.05}),
    "no_format": ({"format": 0.0}, {"format": 0.1}),
    "unverifiable": ({"unverifiable": 0.5}, {"unverifiable": 0.1}),
    "timed_out": ({"timed_out": 0.2}, {"timed_out": 0.01}),
    "kl": ({"kl": 2.0}, {"kl": 0.3}),
    "gradient_exploding": ({"gradient_norm": 9.0}, {"gradient_norm": 2.0}),
    "no_gradient": ({"wasted": 0.6}, {"wasted": 0.08}),
    "reward_hacking": ({"reward": 1.5, "accuracy": 0.3}, {"reward": 1.5, "accuracy": 0.45}),
}
"""Alarm -> figures that raise it, and figures just beside them that do not."""


def test_every_rule_is_tried_and_has_an_option():
    assert WRONG.keys() == RULES.keys()
    options = set(inspect.signature(Alarms).parameters) - {"window"}
    assert options == set(NAMES) == {*RULES, *FIGURE, "unsolved", "held_out_falling"}
    assert set(FIGURES) == HEALTHY.keys()


def test_nothing_is_raised_on_a_healthy_series():
    assert raised(series(60)) == ({}, {})


@holds_for("name", RULES)
def test_an_alarm_is_raised_where_the_window_has_gone_wrong_and_beside_it_is_not(name):
    wrong, beside = WRONG[name]
    found, told = raised(series(60, 25, **wrong))
    assert 25 <= found[name][0] <= 34, "after the change, before a whole window has passed"
    assert found[name][-1] == 59
    assert told[name].step == found[name][0] == told[name].since + WINDOW - 1
    assert "\n" not in str(told[name])
    assert str(told[name]).startswith(f"ALARM {name}, steps {told[name].since} to {told[name].step}: ")
    assert name not in raised(series(60, 25, **beside))[0]


@holds_for("name", RULES)
def test_a_single_step_a_short_run_and_a_threshold_of_null_raise_nothing(name):
    wrong, _ = WRONG[name]
    if name not in ("reward_hacking", "gradient_exploding"):
        spoilt = series(60)
        spoilt[30] |= (
            wrong if name not in ("truncated", "unverifiable", "timed_out", "kl", "sampler_gap") else {}
        )
        assert name not in raised(spoilt)[0]
    assert raised(series(5, 0, **wrong))[0] == {}
    assert name not in raised(series(60, 25, **wrong), **{name: None})[0]


@holds_for("name", [name for name, rule in RULES.items() if rule.compares])
def test_what_compares_waits_until_the_window_is_apart_from_the_first(name):
    wrong, _ = WRONG[name]
    found, _ = raised(series(60, 10, **wrong))
    assert found[name][0] == 19
    assert name not in raised(series(60, 0, **wrong))[0], "it was so from the start"


@holds_for("name", [name for name, rule in RULES.items() if not rule.compares])
def test_what_does_not_compare_is_raised_when_the_first_window_is_over(name):
    assert raised(series(60, 0, **WRONG[name][0]))[0][name][0] == 9


def test_figures_that_most_steps_lack_are_not_judged():
    lacking = series(60, 0, entropy=None, sampler_gap=None, kl=None)
    assert raised(lacking) == ({}, {})
    for step in lacking[::2]:
        step["kl"] = 5.0
    assert raised(lacking) == ({}, {})
    lacking[21]["kl"] = 5.0
    assert raised(lacking)[0]["kl"][0] == 21


def test_the_figures_of_the_quickstart_raise_nothing():
    path = Path(__file__).parent / "cases" / "quickstart_figures.json"
    columns = json.loads(path.read_text(encoding="utf-8"))
    steps = [
        {name: values[step] for name, values in columns.items()}
        | {"step": step, "identical": 0.5, "wasted": 0.0}
        for step in range(60)
    ]
    for window in (5, 10, 20):
        assert raised(steps, window) == ({}, {})


SHOWN = [("number", "'7'", "'7 cm'"), ("choice", "'B'", "with nothing that can be read")]


def unsolved_at(steps):
    return [end - 1 for end in range(1, len(steps) + 1) if unsolved(steps[:end], 20, SHOWN)]


def test_golds_that_are_never_matched_are_shown_beside_what_was_answered():
    steps = series(50, 20, accuracy=0.0)
    assert unsolved_at(steps)[0] == 39
    told = unsolved(steps[:40], 20, SHOWN)
    assert (told.since, told.step) == (20, 39)
    assert "no answer was right (gold '7' answered '7 cm', gold 'B' answered with nothing that" in told.text
    steps[30]["accuracy"] = 0.001
    assert unsolved_at(steps) == []
    assert unsolved_at(series(60)) == []


def test_a_kind_whose_golds_are_never_matched_is_told_where_others_are():
    """Rows of it are in two of three steps."""
    steps = [
        step | {"accuracy/number": 0.7} | ({} if step["step"] % 3 == 1 else {"accuracy/choice": 0.0})
        for step in series(50)
    ]
    assert unsolved_at(steps)[0] == 20
    told = unsolved(steps[:21], 20, SHOWN)
    assert "no answer to rows of the kind 'choice' was right (gold 'B' answered with nothing" in told.text
    assert (
        unsolved_at([step | ({"accuracy/choice": 0.1} if step["step"] % 9 == 0 else {}) for step in steps])
        == []
    )
    rare = [step for step in steps if step["step"] % 3 == 1 or step["step"] % 6 == 0]
    assert unsolved_at(rare + rare) == []


def validations(*accuracies, rewards=None, problems=1000):
    rewards = rewards or [1 + place / 10 for place in range(len(accuracies))]
    return [
        Validation(20 * place + 19, accuracy, problems, reward)
        for place, (accuracy, reward) in enumerate(zip(accuracies, rewards, strict=True))
    ]


def test_held_out_accuracy_that_falls_while_the_reward_rises_is_told():
    told = held_out_falling(validations(0.5, 0.6, 0.5, 0.48), 0.03)
    assert (told.since, told.step) == (39, 79)
    assert "fell from 0.600 to 0.480 while the reward of training rose from 1.10 to 1.30" in told.text


@holds_for(
    "healthy",
    [
        validations(0.5, 0.6, 0.5),  # once
        validations(0.5, 0.6, 0.5, 0.61),  # and up again
        validations(0.5, 0.6, 0.58, 0.58),  # a little
        validations(0.5, 0.6, 0.5, 0.48, rewards=[1.0, 1.2, 1.1, 1.1]),  # as the reward did
        validations(0.5, 0.6, 0.5, 0.48, problems=50),  # within the error
        validations(0.6, 0.5),
    ],
)
def test_held_out_accuracy_that_wavers_is_not_told(healthy):
    assert held_out_falling(healthy, 0.03) is None


@holds_for(
    ("options", "told"),
    [
        ({"window": 1}, "alarms.window is 1"),
        ({"silent_groups": 1.5}, "alarms.silent_groups is 1.5; it must be 0 .. 1, or null"),
        ({"kl": -1.0}, "alarms.kl is -1.0; it must be >= 0, or null"),
        ({"unsolved": -3}, "alarms.unsolved is -3"),
        ({"entropy_collapse": float("nan")}, "alarms.entropy_collapse is nan"),
    ],
)
def test_a_threshold_that_is_out_of_range_is_refused(options, told):
    with pytest.raises(RefusedError, match=told):
        Alarms(**options)
