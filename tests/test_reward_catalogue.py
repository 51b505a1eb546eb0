"""Each reward against its formula, written here once more from the paper's words."""

import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.rewards import (
    LCPO,
    Bonus,
    BoxIoU,
    CosineLength,
    Format,
    KimiLength,
    LanguageConsistency,
    LeadLength,
    ObservationFidelity,
    ObservationLength,
    Observe,
    Reading,
    RepetitionPenalty,
    Rubric,
    ShorterBetter,
    SoftOverlong,
    Think,
)
from observer.strategies import members, summary
from observer.types import RefusedError, Score, Verdict
from rewarded import LIMIT, group_of, scores_of
from tables import holds_for

NAMES = {
    *("Accuracy", "Bonus", "BoxIoU", "CosineLength", "EasyR1Reward", "Format", "Judge", "KimiLength", "LCPO"),
    *("LanguageConsistency", "LeadLength", "ObservationFidelity", "ObservationLength", "RepetitionPenalty"),
    *("ShorterBetter", "SoftOverlong", "TrlReward", "VerlReward"),
}
VERDICTS = st.sampled_from([Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE])


@st.composite
def scored_groups(draw):
    """Lengths and verdicts: of any kind, all of equal length, all right, all wrong, all unverifiable, cut."""
    size = draw(st.integers(1, 8))
    lengths = st.integers(1, LIMIT)
    equal = draw(st.booleans())
    rows = [draw(lengths)] * size if equal else draw(st.lists(lengths, min_size=size, max_size=size))
    one = draw(st.one_of(st.none(), VERDICTS))
    verdicts = [one] * size if one else draw(st.lists(VERDICTS, min_size=size, max_size=size))
    return rows, verdicts


def reference_cosine(lengths, right, m=LIMIT):
    def schedule(length, at_zero, at_m):
        low, high = at_m, at_zero
        return low + 0.5 * (high - low) * (1.0 + math.cos(math.pi * min(length, m) / m))

    return [
        schedule(n, 1.0, 0.5) if ok else schedule(n, -1.0, -0.5) for n, ok in zip(lengths, right, strict=True)
    ]


def reference_kimi(lengths, right):
    low, high = min(lengths), max(lengths)
    if low == high:
        return [0.0 for _ in lengths]
    lambdas = [0.5 - (n - low) / (high - low) for n in lengths]
    return [value if ok else min(0, value) for value, ok in zip(lambdas, right, strict=True)]


def reference_shorter(lengths, right):
    optimal = min((n for n, ok in zip(lengths, right, strict=True) if ok), default=statistics.fmean(lengths))
    return [2.0 * ok - 0.001 * abs(n - optimal) for n, ok in zip(lengths, right, strict=True)]


def reference_lead(lengths, right):
    good = [n for n, ok in zip(lengths, right, strict=True) if ok]
    mean, std = (statistics.fmean(good), statistics.pstdev(good)) if good else (0, 0)
    return [
        math.exp(-0.05 * (n - mean) / (std + 1e-6)) if ok else -1.0
        for n, ok in zip(lengths, right, strict=True)
    ]


def reference_lcpo_exact(lengths, right):
    return [(1 if ok else 0) - 0.0003 * abs(20 - n) for n, ok in zip(lengths, right, strict=True)]


def reference_lcpo_max(lengths, right):
    return [
        (1 if ok else 0) * sorted((0.0, 0.05 * (20 - n) + 0.5, 1.0))[1]
        for n, ok in zip(lengths, right, strict=True)
    ]


BY_LENGTH = [
    (CosineLength(), reference_cosine),
    (KimiLength(), reference_kimi),
    (ShorterBetter(), reference_shorter),
    (LeadLength(), reference_lead),
    (LCPO(target_tokens=20), reference_lcpo_exact),
    (LCPO(form="max", alpha=0.05, target_tokens=20), reference_lcpo_max),
]


@pytest.mark.parametrize(("reward", "reference"), BY_LENGTH, ids=lambda value: getattr(value, "form", None))
@given(case=scored_groups())
@settings(max_examples=150, deadline=None)
def test_a_reward_of_length_and_verdict_is_its_formula(reward, reference, case):
    lengths, verdicts = case
    found = reward(group_of(["x" * n for n in lengths]), scores_of(verdicts), step=0)
    if set(verdicts) == {Verdict.UNVERIFIABLE}:
        assert found == [None] * len(lengths)
    else:
        expected = reference(lengths, [verdict is Verdict.CORRECT for verdict in verdicts])
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_rewards_that_hold_the_verdict_are_of_accuracy_and_the_others_are_not():
    held = {name for name, reward in members("reward").items() if reward.of_accuracy}
    assert {"Accuracy", "CosineLength", "LCPO", "LeadLength", "ShorterBetter"} <= held
    assert held.isdisjoint({"Format", "Bonus", "KimiLength", "SoftOverlong", "Judge", "BoxIoU", "TrlReward"})


def test_kimi_waits_for_its_step_and_evaluation_does_not():
    group, scores = group_of(["x", "xx"]), scores_of([Verdict.CORRECT] * 2)
    for step, values in ((0, [None, None]), (9, [None, None]), (10, [0.5, -0.5]), (-1, [0.5, -0.5])):
        assert KimiLength(from_step=10)(group, scores, step) == values


def test_lcpo_takes_the_target_of_the_row_or_else_its_own():
    scores = scores_of([Verdict.CORRECT])
    row, other = group_of(["x" * 10], metadata={"target_tokens": 20}), group_of(["x" * 10])
    assert LCPO(alpha=0.01)(row, scores, 0) == [0.9]
    assert LCPO(alpha=0.01, target_tokens=30)(row, scores, 0) == [0.9]
    assert LCPO(alpha=0.01, target_tokens=30)(other, scores, 0) == [0.8]
    assert LCPO()(other, scores, 0) == [None]
    for broken in (0, -3, 2.5, "20", True):
        with pytest.raises(ValueError, match=r"metadata 'target_tokens' is .*whole number"):
            LCPO()(group_of(["x"], metadata={"target_tokens": broken}), scores, 0)


@given(length=st.integers(0, 2 * LIMIT), limit=st.integers(1, LIMIT), data=st.data())
@settings(max_examples=200, deadline=None)
def test_soft_overlong_is_the_formula_of_dapo(length, limit, data):
    cache = data.draw(st.integers(0, limit))
    if length <= limit - cache:
        expected = Fraction(0)
    elif length <= limit:
        expected = Fraction((limit - cache) - length, cache)
    else:
        expected = Fraction(-1)
    ours = SoftOverlong(max_tokens=limit, cache_tokens=cache)
    (found,) = ours(group_of(["x"], [range(length)]), scores_of([Verdict.WRONG]), 0)
    assert found == pytest.approx(float(expected), abs=1e-12)


def test_soft_overlong_takes_the_limit_of_the_sampling_and_a_fifth_of_it():
    group = group_of(["x" * 32, "x" * 36, "x" * 40])
    assert SoftOverlong()(group, scores_of([Verdict.CORRECT] * 3), 0) == [0.0, -0.5, -1.0]
    with pytest.raises(RefusedError, match="cache_tokens is 41 and the limit 40"):
        SoftOverlong(cache_tokens=41)(group, scores_of([Verdict.CORRECT] * 3), 0)


def test_at_the_limit_of_dapo_the_soft_overlong_penalty_is_that_of_dapo():
    """20,480 tokens at most, penalised from 16,384."""
    penalties = SoftOverlong().penalties([16_384, 16_385, 18_432, 20_480], limit=20_480)
    assert penalties == [0.0, -1 / 4096, -0.5, -1.0]


@given(ids=st.lists(st.integers(0, 3), max_size=LIMIT), n=st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_the_repetition_penalty_is_the_share_of_ngrams_that_were_there_before(ids, n):
    seen, repeats = [], 0
    for ngram in zip(*(ids[shift:] for shift in range(n)), strict=False):
        repeats += ngram in seen
        seen.append(ngram)
    (found,) = RepetitionPenalty(ngram_size=n)(group_of(["x"], [ids]), scores_of([Verdict.WRONG]), 0)
    assert found == pytest.approx(-repeats / len(seen) if seen else 0.0, abs=1e-12)


# Format and bonus


BLOCKS = "<observe>a</observe>", "<think>b</think>", "<answer>7</answer>"


@holds_for(
    ("text", "share"),
    [
        ("".join(BLOCKS), 1.0),
        ("so " + "".join(BLOCKS), 1.0),
        (BLOCKS[0] + BLOCKS[1], 2 / 3),
        (BLOCKS[0] + BLOCKS[2] + BLOCKS[1], 2 / 3),
        ("".join(reversed(BLOCKS)), 1 / 3),
        ("".join(BLOCKS) + BLOCKS[2], 2 / 3),
        ("<observe> </observe>" + BLOCKS[1] + BLOCKS[2], 2 / 3),
        ("<observe>" + BLOCKS[1] + "</observe>" + BLOCKS[2], 2 / 3),
        ("</observe>a<observe>" + BLOCKS[1] + "<answer>7", 1 / 3),
        ("7", 0.0),
        ("", 0.0),
    ],
)
def test_a_graded_format_is_worth_its_blocks_that_stand(text, share):
    for graded in (False, True):
        (score,) = Rubric({"format": Format(graded=graded)}, Observe()).score(group_of([text]), 0)
        assert score.formatted == (text == "".join(BLOCKS))
        assert score.components["format"] == (share if graded else float(score.formatted))


def test_a_format_without_a_share_is_all_or_nothing():
    assert (Reading(True, "7").share, Think().read(BLOCKS[1] + BLOCKS[2]).share) == (0.0, 1.0)
    kept = [Score(Verdict.WRONG, "", None, formatted) for formatted in (True, False)]
    assert Format(graded=True)(None, kept, 0) == [1.0, 0.0]


@given(
    case=scored_groups(),
    floor=st.integers(0, 20),
    room=st.integers(1, 20),
    ties=st.sampled_from(["all", "first"]),
)
@settings(max_examples=150, deadline=None)
def test_the_bonus_of_ties_goes_to_all_or_to_the_first(case, floor, room, ties):
    lengths, verdicts = case
    bonus = Bonus(min_tokens=floor, max_tokens=floor + room, ties=ties)
    found = bonus(group_of(["x" * n for n in lengths]), scores_of(verdicts), 0)
    able = [
        place
        for place, n in enumerate(lengths)
        if verdicts[place] is Verdict.CORRECT and n != LIMIT and floor < n <= floor + room
    ]
    best = [place for place in able if lengths[place] == min(lengths[other] for other in able)]
    winners = best if ties == "all" else best[:1]
    assert found == [float(place in winners) for place in range(len(lengths))]


# What is refused


@holds_for(
    ("reward", "fields", "message"),
    [
        (SoftOverlong, {"max_tokens": 0}, "SoftOverlong.max_tokens is 0; give null or 1 or more"),
        (SoftOverlong, {"cache_tokens": -1}, "SoftOverlong.cache_tokens is -1; give"),
        (
            SoftOverlong,
            {"max_tokens": 5, "cache_tokens": 6},
            "cache_tokens is 6 and max_tokens 5; give at most",
        ),
        (CosineLength, {"max_tokens": 0}, "CosineLength.max_tokens is 0; give null or 1 or more"),
        (CosineLength, {"right_long": math.inf}, "CosineLength.right_long is inf; give a finite number"),
        (CosineLength, {"wrong_long": 0.7}, "a right answer may be worth 0.5 and a wrong one 0.7; give no"),
        (KimiLength, {"from_step": -1}, "KimiLength.from_step is -1; give 0 or more"),
        (ShorterBetter, {"beta": -0.1}, "ShorterBetter.beta is -0.1; give 0 or more"),
        (ShorterBetter, {"alpha": math.nan}, "ShorterBetter.alpha is nan; give 0 or more"),
        (LCPO, {"form": "least"}, "LCPO.form is 'least'; give one of exact, max"),
        (LCPO, {"delta": 1.5}, "LCPO.delta is 1.5; give 0 to 1"),
        (LCPO, {"target_tokens": 0}, "LCPO.target_tokens is 0; give null or 1 or more"),
        (LeadLength, {"alpha": 11.0}, "LeadLength.alpha is 11.0; give 0 to 10"),
        (LeadLength, {"wrong": 0.5}, "LeadLength.wrong is 0.5; give 0 or less"),
        (LeadLength, {"eps": 0.0}, "LeadLength.eps is 0.0; give more than 0"),
        (RepetitionPenalty, {"ngram_size": 0}, "RepetitionPenalty.ngram_size is 0; give 1 or more"),
        (
            ObservationLength,
            {"low": 5, "high": 4},
            "ObservationLength.high is 4 and low 5; give at least that",
        ),
        (ObservationLength, {"unit": "words"}, "unit is 'words'; give one of tokens, characters"),
        (ObservationFidelity, {"fields": ()}, "ObservationFidelity.fields is \\(\\); name a field"),
        (LanguageConsistency, {"script": "english"}, "script is 'english'; give one of latin, chinese"),
        (BoxIoU, {"order": "xxyy", "scale": "unit"}, "BoxIoU.order is 'xxyy'; give one of xyxy, xywh, yxyx"),
        (BoxIoU, {"order": "xyxy", "scale": "pixels"}, "scale is 'pixels'; give one of picture, input"),
        (
            BoxIoU,
            {"order": "xyxy", "scale": "unit", "gold_scale": "?"},
            "gold_scale is '\\?'; give null or one",
        ),
        (Bonus, {"ties": "last"}, "ties is 'last'; give one of share, all, first"),
    ],
)
def test_impossible_parameters_are_refused_with_their_mend(reward, fields, message):
    with pytest.raises(RefusedError, match=message):
        reward(**fields)


def test_the_registry_lists_every_reward_with_a_formula_of_one_line():
    assert members("reward").keys() >= NAMES
    for name in NAMES:
        line = summary(members("reward")[name])
        assert line.startswith(("r = ", "1 for")), name
        assert line.endswith(".")
